import keras
import numpy as np

from tfcompress.constraints import AtLeast


def test_values_below_the_minimum_are_raised_to_it():
    np.testing.assert_array_equal(AtLeast(0.5)(np.float32([-1, 0.5, 2])), [0.5, 0.5, 2])


def test_configuration_comes_back():
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(AtLeast(0.25)))
    assert isinstance(copy, AtLeast) and copy.minimum == 0.25
