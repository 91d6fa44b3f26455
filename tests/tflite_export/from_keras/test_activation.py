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


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.LeakyReLU(negative_slope=0.1), ["LEAKY_RELU"]),
        (layers.ReLU(negative_slope=0.1), ["LEAKY_RELU"]),
        (layers.ReLU(max_value=1.0), ["RELU", "MINIMUM"]),
        (layers.ReLU(max_value=2.0, negative_slope=0.5), ["LEAKY_RELU", "MINIMUM"]),
        (layers.PReLU(), ["PRELU"]),
        (layers.PReLU(shared_axes=[1]), ["PRELU"]),
        (layers.ELU(0.5), ["MINIMUM", "EXP", "MUL", "ADD", "RELU", "ADD"]),
        (layers.Activation("elu"), ["MINIMUM", "EXP", "ADD", "RELU", "ADD"]),
        (layers.Activation("leaky_relu"), ["LEAKY_RELU"]),
        (layers.Activation("sigmoid"), ["LOGISTIC"]),
        (layers.Activation("silu"), ["LOGISTIC", "MUL"]),
        (layers.Activation("hard_silu"), ["HARD_SWISH"]),
        (layers.Activation("hard_sigmoid"), ["ADD", "RELU6", "MUL"]),
        (layers.Activation("hard_tanh"), ["RELU_N1_TO_1"]),
        (layers.Activation("tanh"), ["TANH"]),
        (layers.Activation("gelu"), ["GELU"]),
        (layers.Activation("exponential"), ["EXP"]),
        (layers.Softmax(axis=1), ["TRANSPOSE", "SOFTMAX", "TRANSPOSE"]),
        (layers.Softmax(axis=(1, 2)), ["RESHAPE", "SOFTMAX", "RESHAPE"]),
    ],
)
def test_activations_that_do_not_fuse(layer: layers.Layer, expected: list[str]) -> None:
    assert kinds(assert_lowers(model_of(layer, shape=(3, 5)))) == expected


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "leaky_relu", "hard_sigmoid"])
def test_activations_are_split_off_the_layers_that_hold_them(name: str) -> None:
    assert kinds(assert_lowers(model_of(layers.Dense(3, activation=name), shape=(4,))))[0] == "FULLY_CONNECTED"


def test_a_rectifier_with_a_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"r \(ReLU\): threshold=0.5; supported is 0"):
        lower(model_of(layers.ReLU(threshold=0.5, name="r"), shape=(4,)))


@pytest.mark.parametrize("activation", ["softplus", layers.LeakyReLU()], ids=str)
def test_other_activations_are_refused_by_the_layers_name(activation: object) -> None:
    with pytest.raises(ValueError, match=r"d \(Activation\): activation '\w+'; supported are linear, relu"):
        lower(model_of(layers.Dense(2, activation=activation, name="d"), shape=(4,)))


def test_a_softmax_over_the_first_of_three_axes_and_another_is_refused() -> None:
    with pytest.raises(ValueError, match=r"s \(Softmax\): axis=\(1, 2\); supported are one axis, or the last ones"):
        lower(model_of(layers.Softmax(axis=(1, 2), name="s"), shape=(3, 4, 5)))


def test_a_softmax_with_a_mask_is_refused() -> None:
    x, mask = keras.Input((4,)), keras.Input((4,), dtype="bool")
    with pytest.raises(ValueError, match=r"s \(Softmax\): called with 2 tensors; supported is one"):
        lower(keras.Model([x, mask], layers.Softmax(name="s")(x, mask)))
