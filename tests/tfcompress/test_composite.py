"""Layers that stand for networks of layers."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.composite import Composite, open_composites, opened
from tfcompress.structure.trace import trace

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


class Gap(Composite):
    """The difference of what two layers make, of one tensor or of two."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(3, name="first"), layers.Dense(3, name="second")
        self.minus = layers.Subtract(name="minus")

    def build(self, shape):
        shapes = shape if isinstance(shape[0], (list, tuple)) else (shape, shape)
        self.first.build(shapes[0])
        self.second.build(shapes[1])
        self.built = True

    def call(self, inputs):
        a, b = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
        return self.minus([self.first(a), self.second(b)])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    x = Gap(name="one")(inputs)
    return keras.Model(inputs, Gap(name="two")([x, inputs]))


def test_an_opened_layer_is_a_model_of_its_layers(model):
    network = opened(model.get_layer("two"))
    assert network.name == "two" and [layer.name for layer in network.layers[2:]] == ["first", "second", "minus"]
    assert [i.shape for i in network.inputs] == [(None, 3), (None, 5)]


def test_opening_keeps_weights_numbers_and_the_original(model):
    plain = open_composites(model)
    np.testing.assert_array_equal(plain(X), model(X))
    paths = [call.path for call in trace(plain).calls][1:]
    assert paths == ["one/first", "one/second", "one/minus", "two/first", "two/second", "two/minus"]
    plain.get_layer("one").get_layer("first").kernel.assign(np.zeros((5, 3)))
    assert np.any(model.get_layer("one").first.kernel.numpy()) and not np.array_equal(plain(X), model(X))


def test_a_model_without_such_layers_is_left_alone():
    plain = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    assert open_composites(plain) is plain
