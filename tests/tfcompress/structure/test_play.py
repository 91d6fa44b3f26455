"""Calls played one after the other."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.structure.play import feed, play
from tfcompress.structure.trace import trace


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,), name="x")
    a = layers.Dense(3, name="a")(inputs)
    return keras.Model(inputs, layers.Add(name="sum")([a, layers.ReLU(name="r")(a)]))


def test_each_call_meets_all_batches_and_may_be_replaced():
    model, x = network(), np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    traced, seen = trace(model), {}

    def visit(call, inputs):
        seen[call.path] = inputs
        return [[batch * 0 for batch in inputs[0]]] if call.path == "r" else None

    play(traced, feed(model.name, traced, x, 4, 9), visit)
    assert list(seen) == ["a", "r", "sum"]
    assert [len(batch) for batch in seen["a"][0]] == [4, 4, 1]
    a, r = (np.concatenate(batches) for batches in seen["sum"])
    np.testing.assert_allclose(a, model.get_layer("a")(x[:9]), rtol=1e-5)
    np.testing.assert_array_equal(r, 0)


def test_no_samples_are_an_error():
    model = network()
    with pytest.raises(ValueError, match="`x` must hold at least one sample for model 'some'"):
        feed("some", trace(model), np.zeros((0, 4)), 4, 9)
