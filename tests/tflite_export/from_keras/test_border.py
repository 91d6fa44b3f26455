"""Inputs, layers that do nothing, and transforms on feature maps."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed, assert_lowers, kinds, model_of
from tfcompress.pass_through import PassThrough
from tfcompress.structure.groups import IDENTITY
from tfcompress.transform import Transform
from tflite_export.from_keras import lower

ARGUMENTS = {
    layers.ActivityRegularization: (),
    layers.Identity: (),
    layers.RandomFlip: (),
    layers.RandomTranslation: (0.1, 0.1),
    PassThrough: (),
}


@pytest.mark.parametrize("kind", IDENTITY)
def test_layers_that_do_nothing_at_inference_vanish(kind: type) -> None:
    shape = (3, 2) if "1D" in kind.__name__ else (3, 3, 3)
    assert kinds(assert_lowers(model_of(kind(*ARGUMENTS.get(kind, (0.5,))), shape=shape))) == []


def test_a_transform_puts_its_grid_on_the_tensor_behind_it() -> None:
    graph = lower(model_of(Fixed(np.full((1, 1), 0.5), bits=4, signed=False), shape=(3,)))
    grid = graph.tensors[graph.outputs[0]].quantization
    assert (float(grid.scale[0]), int(grid.zero_point[0]), grid.low, grid.bits) == (0.5, 112, 112, 4)


class Halving(Fixed):
    """Reports the grid of the values that it halves."""

    def call(self, x: Any, training: bool | None = None) -> Any:
        return super().call(x) / 2


class Gridless(Transform):
    def call(self, x: Any, training: bool | None = None) -> Any:
        return x


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (Gridless(name="t"), "a transform without a grid on a feature map"),
        (Halving(0.5), "does more to a feature map than round it"),
        (
            Fixed(0.5, bits=12),
            "12 bits .* saturates at 32767 only: use 16 bits signed, 15 bits unsigned, or 8 bits or fewer",
        ),
        (Fixed([0.5, 0.25, 1.0]), r"needs an affine grid with one scale: use a transform with axis=\(\)"),
    ],
)
def test_transforms_that_int8_cannot_hold_are_refused(transform: Transform, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        lower(model_of(transform, shape=(3,)))


def test_inputs_keep_their_order_and_names() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    graph = assert_lowers(keras.Model([b, a], layers.Concatenate(name="c")([a, b])))
    assert [graph.tensors[t].name for t in graph.inputs] == ["b", "a"]
    assert graph.signature == ("serving_default", {"b": 0, "a": 1}, {"c": graph.outputs[0]})
    assert all(graph.tensors[t].shape == (1, 2) for t in graph.inputs)


def test_an_input_of_unknown_size_is_refused() -> None:
    x = keras.Input((None, 8, 3), name="x")
    with pytest.raises(ValueError, match=r"x \(InputLayer\): the shape \(None, None, 8, 3\) has unknown sizes"):
        lower(keras.Model(x, layers.ReLU()(x)))


def test_only_the_input_of_unknown_size_is_named() -> None:
    x = keras.Input((None, None, 3), name="x")
    y = layers.GroupNormalization(1, name="odd")(layers.Conv2D(2, 1, name="fine")(x))
    with pytest.raises(ValueError, match=r"(?s)x \(InputLayer\).*odd \(GroupNormalization\)") as error:
        lower(keras.Model(x, y))
    assert "fine" not in str(error.value)


def test_a_fixed_batch_becomes_one() -> None:
    x = keras.Input(batch_shape=(4, 3))
    graph = lower(keras.Model(x, layers.ReLU()(x)))
    np.testing.assert_array_equal([t.shape for t in graph.tensors], [(1, 3), (1, 3)])
