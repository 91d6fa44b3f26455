"""What lies between two tensors, and what is in the way."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.least_squares.activation_targets import LINEAR, RELU
from tfcompress.least_squares.region import Listener, aims, behind, between
from tfcompress.structure.trace import trace


def residual():
    inputs = keras.Input((6, 6, 4), name="image")
    stem = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(inputs)
    branch = layers.ReLU(name="relu")(layers.Conv2D(4, 3, padding="same", name="one")(stem))
    x = layers.Add(name="add")([stem, layers.Conv2D(4, 1, name="two")(branch)])
    return keras.Model(inputs, [layers.Flatten(name="flat")(x), layers.Dense(2, name="side")(branch)])


def test_regions_have_one_tensor_in_front_and_one_behind():
    traced = trace(residual())
    found = between(traced, "stem", "stem")
    assert (found.entry.name, found.exit.name, [c.path for c in found.calls]) == ("image", "stem", ["stem"])
    assert [c.path for c in between(traced, "one", "relu").calls] == ["one", "relu"]
    assert behind(traced, "relu").calls == () and behind(traced, "relu").exit.name == "relu"


def test_a_whole_block_goes_with_its_shortcut():
    inputs = keras.Input((4,), name="x")
    a = layers.Dense(4, name="a")(inputs)
    b = layers.Dense(4, name="b")(a)
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Add(name="add")([a, b])))
    found = between(trace(model), "b", "add")
    assert [c.path for c in found.calls] == ["b", "add"] and found.entry.name == "a"


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("one", "two", r"'relu' \(ReLU\) must serve only layers up to 'two'. Received: also \['side'\]"),
        ("two", "add", r"'add' \(Add\) must get what 'two' gets.*\['stem'\]"),
        ("two", "one", r"'one' \(Conv2D\) must be reached from 'two'"),
        ("add", "flat", r"'add' \(Add\) must get one tensor. Received: 2"),
        ("nobody", "two", r"`at` must name one layer.*'nobody'. Layers: \['image', 'stem'"),
    ],
)
def test_what_is_in_the_way_is_named(first, last, message):
    with pytest.raises(ValueError, match=message):
        between(trace(residual()), first, last)


def test_a_layer_with_several_uses_is_refused():
    shared = layers.Dense(3, name="shared")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="'shared', which is used 2 times"):
        between(trace(model), "shared", "shared")


def test_signals_are_those_of_inference_and_the_tap_is_in_front_of_the_activation():
    model = residual()
    x = np.random.default_rng(0).normal(size=(10, 6, 6, 4)).astype(np.float32)
    ear, traced = Listener(model, x, batch_size=4, samples=9), trace(model)
    values = {call.path: call.outputs[0] for call in traced.calls}
    relu, one = (np.concatenate(part) for part in ear.hear(traced, values["relu"], values["one"]))
    assert len(relu) == 9
    np.testing.assert_array_equal(relu, np.maximum(one, 0))
    y, t = aims(ear, traced, values["relu"], RELU)
    np.testing.assert_array_equal(np.concatenate(t), one)
    y, t = aims(ear, traced, values["stem"], RELU)  # inside of the layer
    np.testing.assert_allclose(np.maximum(np.concatenate(t), 0), np.concatenate(y), atol=1e-6)
    assert np.concatenate(t).min() < 0
    assert aims(ear, traced, values["stem"], LINEAR)[1] is None and aims(ear, traced, values["one"], RELU)[1] is None
    expected = model.predict(x[:4], verbose=0)
    for found, right in zip(ear.outputs(model), expected, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-5)
