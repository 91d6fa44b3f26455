"""Calls that leave several tensors become calls that leave one, with the same numbers."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.compressed import Compressed, deployed
from tfcompress.grid import Grid
from tfcompress.layers import ChannelGate
from tfcompress.structure.expand import expand
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import trace
from tfcompress.transform import Transform


class Rounded(Transform):
    """Rounds to multiples of an eighth."""

    def call(self, x: object, training: bool | None = None) -> object:
        return ops.clip(ops.round(x * 8), -7, 7) / 8

    def grid(self, x: object) -> Grid:
        return Grid(0.125, bits=4, narrow_range=True)


def chain(*stack: layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    inputs = x = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


SEPARABLE = {"kernel_size": (3, 2), "strides": (2, 2), "padding": "same", "depth_multiplier": 2, "activation": "relu"}
KERNELS = ("depthwise_kernel", "pointwise_kernel")


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (layers.SeparableConv2D(5, **SEPARABLE, name="s"), ["s/depthwise", "s"]),
        (layers.SeparableConv2D(5, 3, activation="softmax", name="s"), ["s/depthwise", "s/linear", "s"]),
        (layers.Conv2D(5, 3, activation="tanh", name="c"), ["c/linear", "c"]),
        (layers.DepthwiseConv2D(3, activation="gelu", name="d"), ["d/linear", "d"]),
        (layers.Dense(5, activation="softmax", name="d"), ["d/linear", "d"]),
        (layers.Dense(5, activation="relu", name="d"), ["d"]),
        (Compressed(layers.Dense(5, activation="softmax", name="d"), {"kernel": Rounded()}), ["d/linear", "d"]),
        (
            Compressed(layers.SeparableConv2D(5, 3, name="s"), {slot: Rounded() for slot in KERNELS}),
            ["s/depthwise", "s"],
        ),
    ],
)
def test_the_parts_compute_what_the_layer_computes(layer: layers.Layer, names: list[str]) -> None:
    keras.utils.set_random_seed(0)
    model = chain(layer, shape=(7, 6, 3))
    found = expand(trace(model))
    x = np.random.default_rng(0).normal(0, 1, (2, 7, 6, 3)).astype(np.float32)
    result = replay(found, {found.inputs[0]: x})(found.outputs[0])
    np.testing.assert_allclose(result, model(x, training=False), rtol=1e-5, atol=1e-6)
    assert [call.outputs[0].name for call in found.calls[1:]] == names
    assert {call.path for call in found.calls[1:]} == {names[-1]}


def test_the_parts_share_grids_under_the_old_names() -> None:
    layer = Compressed(layers.SeparableConv2D(5, 3, name="s"), {slot: Rounded() for slot in KERNELS})
    found = expand(trace(chain(layer, shape=(7, 6, 3))))
    for call, slot in zip(found.calls[1:], KERNELS, strict=True):
        weight, grid = deployed(call.layer, "kernel")
        np.testing.assert_array_equal(weight, deployed(layer, slot)[0])
        assert grid.bits == 4
        assert call.slots == {"kernel": slot}


def test_a_sum_of_many_becomes_sums_of_two() -> None:
    inputs = [keras.Input((3,)) for _ in range(4)]
    model = keras.Model(inputs, layers.Add(name="sum")(inputs))
    found = expand(trace(model))
    values = {value: np.full((1, 3), 10.0**k, np.float32) for k, value in enumerate(found.inputs)}
    np.testing.assert_array_equal(replay(found, values)(found.outputs[0]), np.full((1, 3), 1111.0))
    assert [call.outputs[0].name for call in found.calls[4:]] == ["sum/sum_1", "sum/sum_2", "sum"]


def test_other_calls_stay_as_they_are() -> None:
    before = trace(chain(layers.Conv2D(2, 1), layers.BatchNormalization(), layers.ReLU(), shape=(3, 3, 2)))
    after = expand(before)
    assert list(after.calls) == list(before.calls)
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)


OPENED = {
    "silu": (layers.Activation("silu"), ["sigmoid", ""]),
    "hard_sigmoid": (layers.Activation("hard_sigmoid"), ["moved", "clipped", ""]),
    "elu": (layers.ELU(0.5), ["below", "exp", "decay", "above", ""]),
    "softmax": (layers.Softmax(axis=1), ["moved", "shares", ""]),
    "layer norm": (layers.LayerNormalization(), ["mean", "centered", "square", "variance", "inverse", "normal", ""]),
}


@pytest.mark.parametrize(("layer", "parts"), OPENED.values(), ids=OPENED)
def test_what_the_format_has_no_op_for_opens_into_named_parts(layer: layers.Layer, parts: list[str]) -> None:
    model = chain(layer, shape=(4, 3))
    found = expand(trace(model))
    names = [call.outputs[0].name for call in found.calls[1:]]
    assert names == [f"{layer.name}/{part}" if part else layer.name for part in parts]
    x = np.random.default_rng(0).normal(0, 2, (5, 4, 3)).astype(np.float32)
    delivered = replay(found, {found.inputs[0]: x})(found.outputs[0])
    np.testing.assert_allclose(delivered, model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [layers.Multiply, layers.Maximum, layers.Minimum, layers.Average])
def test_merges_of_three_broadcast_on_the_way(kind: type) -> None:
    inputs = [keras.Input(shape) for shape in ((2, 1), (3,), (2, 3))]
    model = keras.Model(inputs, kind(name="m")(inputs))
    found = expand(trace(model))
    arrays = [np.random.default_rng(k).normal(size=(4, *x.shape[1:])).astype(np.float32) for k, x in enumerate(inputs)]
    delivered = replay(found, dict(zip(found.inputs, arrays, strict=True)))(found.outputs[0])
    np.testing.assert_allclose(delivered, model(arrays), rtol=1e-5)
    assert all(len(call.inputs) <= 2 for call in found.calls)


def test_a_composite_layer_becomes_the_calls_that_it_makes():
    inputs = keras.Input((4, 4, 3))
    features = layers.Conv2D(5, 3, name="conv")(inputs)
    model = keras.Model(inputs, ChannelGate(units=2, open_share=0.5, name="gate")([features, inputs]))
    opened = expand(trace(model))
    parts = [call.path for call in opened.calls]
    inside = ["pool", "hidden", "norm", "relu", "logits", "gate_switch/gates", "gate_switch"]
    assert parts[1:] == ["conv", *[f"gate/{part}" for part in inside]]
    assert opened.outputs == opened.calls[-1].outputs and opened.outputs[0].name == "gate"
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(replay(opened, {opened.inputs[0]: x})(opened.outputs[0]), model(x))
