import keras
import numpy as np

from tfcompress.constraints import AtLeast, Within


def test_values_below_the_minimum_are_raised_to_it():
    np.testing.assert_array_equal(AtLeast(0.5)(np.float32([-1, 0.5, 2])), [0.5, 0.5, 2])


def test_configuration_comes_back():
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(AtLeast(0.25)))
    assert isinstance(copy, AtLeast) and copy.minimum == 0.25


def test_values_outside_of_the_limits_are_moved_to_the_nearer_one():
    np.testing.assert_array_equal(Within(-1, 0.5)(np.float32([-3, -1, 0.2, 2])), np.float32([-1, -1, 0.2, 0.5]))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(Within(-1, 2)))
    assert isinstance(copy, Within) and (copy.minimum, copy.maximum) == (-1, 2)
