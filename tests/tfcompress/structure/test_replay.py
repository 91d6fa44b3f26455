"""Any tensor from any tensors in front of it."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.structure.replay import replay
from tfcompress.structure.trace import Value, trace


def network() -> keras.Model:
    x = keras.Input((4,), name="x")
    a = layers.Rescaling(2.0, name="a")(x)
    b = layers.ReLU(name="b")(a)
    return keras.Model(x, layers.Add(name="c")([layers.Dropout(0.5, name="d")(a), b]))


def named(found: object, name: str) -> Value:
    return next(value for call in found.calls for value in call.outputs if value.name == name)


X = np.array([[1.0, -2.0, 3.0, -4.0]], np.float32)


def test_from_the_input_it_computes_the_model() -> None:
    found = trace(network())
    evaluate = replay(found, {found.inputs[0]: X})
    np.testing.assert_array_equal(evaluate(named(found, "c")), [[4, -4, 12, -8]])


def test_it_starts_from_the_nearest_known_tensors() -> None:
    found = trace(network())
    evaluate = replay(found, {named(found, "a"): X, named(found, "b"): 100 * X})
    np.testing.assert_array_equal(evaluate(named(found, "c")), 101 * X)


def test_known_tensors_are_looked_up() -> None:
    found = trace(network())
    assert replay(found, {named(found, "c"): X})(named(found, "c")) is X


def test_a_missing_input_is_an_error_that_names_it() -> None:
    found = trace(network())
    with pytest.raises(ValueError, match=r"'c' depends on the model input 'x', which must be known. Received: \['b'\]"):
        replay(found, {named(found, "b"): X})(named(found, "c"))
