import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.compressed import Compressed
from tfcompress.grid import Grid
from tfcompress.transform import Transform
from tflite_export.convert import convert
from tflite_export.delivery import from_keras
from tflite_export.flatbuffer import read, write
from tflite_export.receipt import receipt


class Steps(Transform):
    """Rounds to a fixed grid of ``bits`` bits and step ``scale``, or to the nearest of ``values``."""

    def __init__(self, scale=0.1, bits=4, signed=True, values=None, **kwargs):
        super().__init__(**kwargs)
        values = None if values is None else np.float32(values)
        self.fixed = Grid(np.float32(scale), bits, signed=signed, narrow_range=signed, values=values)

    def call(self, x, training=None):
        if self.fixed.values is not None:
            distance = ops.abs(x[..., None] - self.fixed.values)
            return ops.take(self.fixed.values, ops.argmin(distance, axis=-1))
        return ops.clip(ops.round(x / self.fixed.scale), self.fixed.low, self.fixed.high) * self.fixed.scale

    def grid(self, x):
        return self.fixed


class Prune(Transform):
    """Sets the small half to zero."""

    def call(self, x, training=None):
        return ops.where(ops.abs(x) < 0.2, 0.0, x)


def compressed(layer, slot="kernel", transform=None):
    return Compressed(layer, {slot: transform or Steps()})


@pytest.fixture(scope="module")
def model():
    """Every layer with weights of its own kind of request; the batch norm turns signs and silences a channel."""
    keras.utils.set_random_seed(0)
    codebook = Steps(bits=2, values=[-0.4, -0.1, 0.1, 0.2])
    x = image = keras.Input((6, 6, 3), name="image")
    x = Steps(0.02, 8, name="image_output")(x)
    x = compressed(layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv"), transform=Steps(0.03))(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="act")(x)
    x = Steps(0.1, 4, signed=False, name="conv_output")(x)
    x = compressed(layers.DepthwiseConv2D(3, name="depthwise"), transform=Steps(0.03))(x)
    x = Steps(0.1, 5, name="depthwise_output")(x)
    x = compressed(layers.Conv2D(4, 1, name="book"), transform=codebook)(x)
    x = Steps(0.05, 8, name="book_output")(x)
    x = layers.Flatten(name="flat")(x)
    x = compressed(layers.Dense(5, name="pruned"), transform=Prune())(x)
    x = Steps(0.05, 8, name="pruned_output")(x)
    model = keras.Model(image, x)
    gamma = np.array([1, -1, 0, 2, -0.5, 1, 1, -3], np.float32)
    model.get_layer("norm").set_weights([gamma, 0.1 * gamma, gamma, np.abs(gamma) + 0.5])
    return model


@pytest.fixture(scope="module")
def blob(model):
    return convert(model)


def problems(result):
    return {(r["layer"], r["slot"]): r["note"] for r in result.requests if not r["ok"]}


def test_everything_that_was_asked_for_is_in_the_file(model, blob):
    result = receipt(blob, model)
    assert problems(result) == {}
    assert result.ok
    asked = {(r["layer"], r["slot"]): (r["requested_bits"], r["delivered_bits"]) for r in result.requests}
    assert asked["conv", "kernel"] == (4, 4)
    assert asked["depthwise", "kernel"] == (4, 4)
    assert asked["conv_output", "output"] == (4, 4)
    assert asked["depthwise_output", "output"] == (5, 5)
    assert asked["book", "kernel"][0] == 2
    assert asked["pruned", "kernel"][0] is None


def test_zeros_and_distinct_values_are_counted_on_both_sides(model, blob):
    (record,) = [r for r in receipt(blob, model).requests if (r["layer"], r["slot"]) == ("pruned", "kernel")]
    assert record["delivered_zeros"] >= record["requested_zeros"] > 0


def tampered(blob, name, change):
    """The file with other codes in one constant."""
    graph = read(blob)
    (index,) = [k for k, t in enumerate(graph.tensors) if t.name == name]
    data = graph.tensors[index].data.copy()
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], data=change(data).astype(data.dtype))
    return write(replace(graph, tensors=tuple(tensors)))


def one_less(data):
    data.flat[np.flatnonzero(data > 1)[0]] -= 1
    return data


@pytest.mark.parametrize("name", ["conv/kernel", "depthwise/kernel", "book/kernel"])
def test_a_single_code_that_is_off_by_one_is_noticed(model, blob, name):
    lie = receipt(tampered(blob, name, one_less), model)
    assert not lie.ok
    assert problems(lie) == {(name.partition("/")[0], "kernel"): problems(lie)[name.partition("/")[0], "kernel"]}
    assert re.search(r"\b1 of \d+ values are not the model's", lie.problems[0])


def test_a_lost_zero_is_noticed(model, blob):
    def fill(data):
        data.flat[np.flatnonzero(data == 0)[:3]] = 1
        return data

    assert (
        "3 of 320 values are not the model's"
        in problems(receipt(tampered(blob, "pruned/kernel", fill), model))["pruned", "kernel"]
    )


def test_a_channel_whose_sign_turned_is_the_same_channel(model, blob):
    assert receipt(tampered(blob, "conv/kernel", lambda codes: -codes), model).ok


def test_a_model_that_asks_for_fewer_bits_than_the_file_has_is_not_satisfied(model, blob, monkeypatch):
    kernel = model.get_layer("conv").transforms["kernel"]
    monkeypatch.setattr(kernel, "fixed", Grid(np.float32(0.03), 3, narrow_range=True))
    monkeypatch.setattr(model.get_layer("conv_output"), "fixed", Grid(np.float32(0.1), 3, signed=False))
    found = problems(receipt(blob, model))
    assert found["conv", "kernel"] == "3 bits requested, 4 needed (int8)"
    assert found["conv_output", "output"] == "can hold 4 bits"


def test_another_step_of_a_feature_map_is_noticed(model, blob, monkeypatch):
    monkeypatch.setattr(model.get_layer("conv_output"), "fixed", Grid(np.float32(0.2), 4, signed=False))
    assert problems(receipt(blob, model)) == {("conv_output", "output"): "the step is not the model's, 0.200000003"}


def test_a_layer_that_is_not_in_the_file_is_noticed(blob):
    image = keras.Input((6, 6, 3))
    stranger = keras.Model(image, compressed(layers.Conv2D(8, 3, name="elsewhere"))(image))
    (record,) = from_keras(read(blob), stranger)
    assert (record["ok"], record["note"]) == (False, "the file has no tensor of this name")


def test_a_bias_follows_the_steps_of_its_accumulator_and_is_reported():
    image = keras.Input((4,), name="image")
    x = Steps(0.1, 8, name="image_output")(image)
    x = compressed(layers.Dense(3, bias_initializer="ones", name="dense"), "bias", Steps(1.0, 2))(x)
    model = keras.Model(image, Steps(0.1, 8, name="dense_output")(x))
    assert ("dense", "bias") in problems(receipt(convert(model), model))


def test_a_rescaling_that_was_folded_takes_its_request_along():
    image = keras.Input((4, 4, 3), name="image")
    x = Steps(0.1, 6, signed=False, name="rescaled_output")(layers.Rescaling(0.5, name="rescaled")(image))
    x = compressed(layers.Conv2D(2, 3, name="conv"))(x)
    model = keras.Model(image, Steps(0.1, 8, name="conv_output")(x))
    result = receipt(convert(model), model)
    assert result.ok, problems(result)
