"""What is known of channels without data."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.channel_switch import ChannelSwitch
from tfcompress.structure.channels import Channels
from tfcompress.structure.constants import constants
from tfcompress.structure.trace import trace


class Switch(ChannelSwitch):
    """No training."""


def known(*stack, shape=(6, 6, 2), given=None):
    """The constants behind the last layer of a chain that follows a convolution of channels -1, 0, 2 and varying."""
    first = layers.Conv2D(4, 1, name="first")
    model = keras.Sequential([keras.Input(shape), first, *stack])
    kernel = np.zeros((1, 1, 2, 4), np.float32)
    kernel[..., 3] = 1
    first.set_weights([kernel, np.array([-1, 0, 2, 0], np.float32)])
    channels = Channels(trace(model))
    values = {value.name: value for value in channels.numbers}
    found = constants(channels, given and {values[name]: x for name, x in given.items()})
    return found[channels.trace.outputs[0]]


def norm():
    layer = layers.BatchNormalization(epsilon=0.0)
    layer.build((None, 6, 6, 4))
    layer.set_weights([np.array(v, np.float32) for v in ([1, 1, 1, 0], [0, 1, 0, 5], [0, 0, 1, 0], [1, 1, 4, 1])])
    return layer


def depthwise(padding):
    layer = layers.DepthwiseConv2D(3, padding=padding, bias_initializer="ones")
    layer.build((None, 6, 6, 4))
    layer.kernel.assign(np.ones((3, 3, 4, 1)))
    return layer


V = np.nan


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (lambda: [], [-1, 0, 2, V]),
        (lambda: [layers.ReLU()], [0, 0, 2, V]),
        (lambda: [layers.Activation("sigmoid")], [1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2)), V]),
        (lambda: [norm()], [-1, 1, 0.5, 5]),
        (lambda: [layers.Rescaling([2.0, 1.0, 1.0, 0.0], offset=1.0)], [-1, 1, 3, 1]),
        (lambda: [layers.ZeroPadding2D(1)], [V, 0, V, V]),
        (lambda: [layers.MaxPooling2D(2, padding="same")], [-1, 0, 2, V]),
        (lambda: [layers.GlobalAveragePooling2D()], [-1, 0, 2, V]),
        (lambda: [depthwise("valid")], [-8, 1, 19, V]),
        (lambda: [depthwise("same")], [V, 1, V, V]),
        (lambda: [layers.GlobalMaxPooling2D(), layers.Reshape((2, 2))], [V, V]),
    ],
    ids=["none", "relu", "sigmoid", "norm", "rescaling", "pad", "pool", "average", "valid", "same", "tied"],
)
def test_constants_pass_through_layers(stack, expected):
    np.testing.assert_allclose(known(*stack()), expected, rtol=1e-6)


def test_numbers_given_from_outside_take_the_place_of_what_varies():
    found = known(layers.ReLU(name="r"), layers.Dropout(0.1), given={"r": np.array([V, V, 5.0, 7.0])})
    np.testing.assert_allclose(found, [V, V, 5, 7])


@pytest.mark.parametrize(
    ("merge", "expected"),
    [(layers.Add, [-2, 0, 4, V]), (layers.Multiply, [1, 0, 4, V]), (layers.Concatenate, [-1, 0, 2, V] * 2)],
)
def test_merges_of_constants(merge, expected):
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 1, kernel_initializer="zeros", name="c")(inputs)
    model = keras.Model(inputs, merge()([x, layers.ReLU(max_value=None, negative_slope=1.0)(x)]))
    kernel = np.zeros((1, 1, 2, 4), np.float32)
    kernel[..., 3] = 1
    model.get_layer("c").set_weights([kernel, np.array([-1, 0, 2, 0], np.float32)])
    channels = Channels(trace(model))
    np.testing.assert_allclose(constants(channels)[channels.trace.outputs[0]], expected)


def test_a_sum_over_constants_is_constant_where_the_window_is_covered():
    dense = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="a"), layers.Dense(2, name="b")])
    dense.get_layer("a").set_weights([np.zeros((2, 2)), np.array([1.0, 2.0])])
    dense.get_layer("b").set_weights([np.array([[1.0, 0.0], [1.0, 3.0]]), np.array([0.5, 0.0])])
    channels = Channels(trace(dense))
    np.testing.assert_allclose(constants(channels)[channels.trace.outputs[0]], [3.5, 6.0])


def test_a_closed_gate_makes_zero_of_anything():
    gate = tfc.layers.InformationBottleneck()
    gate.build((None, 6, 6, 4))
    gate.mean.assign([0.5, 1.0, 1.0, 1e-6])
    np.testing.assert_allclose(known(gate), [-0.5, 0, 2, 0])


def test_a_switch_is_closed_where_its_logit_is_a_constant_not_above_zero():
    x = keras.Input((6, 6, 2))
    features, logits = layers.Conv2D(4, 1, name="features"), layers.Dense(4, name="logits")
    model = keras.Model(x, Switch()([features(x), logits(layers.GlobalAveragePooling2D()(x))]))
    kernel = np.ones((1, 1, 2, 4), np.float32)
    kernel[..., 3] = 0
    features.set_weights([kernel, np.array([0, 0, 0, 5], np.float32)])
    kernel = np.zeros((2, 4), np.float32)
    kernel[:, 2] = 1
    logits.set_weights([kernel, np.array([0, 1, 7, 1], np.float32)])
    channels = Channels(trace(model))
    np.testing.assert_array_equal(constants(channels)[channels.trace.outputs[0]], [0, np.nan, np.nan, 5])
    assert (channels.numbers[channels.trace.outputs[0]] == channels.numbers[channels.trace.calls[1].outputs[0]]).all()
