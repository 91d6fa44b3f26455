import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.structure.steps import OncePerStep


class Counting(layers.Layer):
    """Returns its input and counts how often it computed, and how often it was called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.once, self.computed, self.called = OncePerStep(), 0, 0
        self.state = self.add_weight((), "zeros", trainable=False, name="state")

    def compute(self):
        self.computed += 1
        self.state.assign_add(1.0)
        return self.computed

    def call(self, x):
        self.called += 1
        self.once(self, [self.state], self.compute)
        return x


@pytest.mark.parametrize("depth", [1, 2])
def test_computes_once_in_each_pass_of_the_outermost_model(depth):
    layer = Counting()
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(layer(inputs)))
    for _ in range(depth - 1):
        model = keras.Sequential([keras.Input((3,)), model])
    layer.computed = layer.called = 0
    for steps in (1, 2):
        layer.state.assign(0.0)
        model(np.ones((1, 3)))
        assert (layer.computed, layer.called) == (steps, 2 * steps)


def test_two_layers_do_not_share_what_they_keep():
    first, second = Counting(), Counting()
    model = keras.Sequential([keras.Input((3,)), first, second])
    first.computed = second.computed = 0
    model(np.ones((1, 3)))
    assert (first.computed, second.computed) == (1, 1)


def test_layer_called_on_its_own_leaves_no_context_behind():
    layer, dropout = Counting(), layers.Dropout(0.5)
    layer(np.ones((1, 3), "float32"), training=True)
    layer.call(np.ones((1, 3), "float32"))
    np.testing.assert_array_equal(np.array(dropout(np.ones((1, 3), "float32"))), 1.0)
