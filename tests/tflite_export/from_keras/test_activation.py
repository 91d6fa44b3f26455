"""Activations as layers and as arguments."""

import keras
import pytest
from keras import layers

from from_keras.helpers import assert_lowers, kinds, model_of
from tflite_export.from_keras import lower


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.ReLU(), ["RELU"]),
        (layers.ReLU(6), ["RELU6"]),
        (layers.ReLU(max_value=6.0), ["RELU6"]),
        (layers.Activation("relu"), ["RELU"]),
        (layers.Activation("relu6"), ["RELU6"]),
        (layers.Activation("softmax"), ["SOFTMAX"]),
        (layers.Activation("linear"), []),
        (layers.Softmax(), ["SOFTMAX"]),
        (layers.Softmax(axis=2), ["SOFTMAX"]),
    ],
)
def test_each_activation_is_one_op(layer: layers.Layer, expected: list[str]) -> None:
    assert kinds(assert_lowers(model_of(layer, shape=(3, 5)))) == expected


@pytest.mark.parametrize("arguments", [{"max_value": 1.0}, {"negative_slope": 0.1}, {"threshold": 0.5}], ids=str)
def test_other_rectifiers_are_refused_and_the_message_says_which_work(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"r \(ReLU\): .* supported are max_value=None and max_value=6"):
        lower(model_of(layers.ReLU(**arguments, name="r"), shape=(4,)))


@pytest.mark.parametrize("activation", ["gelu", layers.LeakyReLU()], ids=str)
def test_other_activations_are_refused_by_the_layers_name(activation: object) -> None:
    with pytest.raises(ValueError, match=r"d \(Activation\): activation '\w+'; supported are linear, relu"):
        lower(model_of(layers.Dense(2, activation=activation, name="d"), shape=(4,)))


def test_a_softmax_over_another_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"s \(Softmax\): axis=1; supported is the last axis"):
        lower(model_of(layers.Softmax(axis=1, name="s"), shape=(3, 5)))


def test_a_softmax_with_a_mask_is_refused() -> None:
    x, mask = keras.Input((4,)), keras.Input((4,), dtype="bool")
    with pytest.raises(ValueError, match=r"s \(Softmax\): called with 2 tensors; supported is one"):
        lower(keras.Model([x, mask], layers.Softmax(name="s")(x, mask)))
