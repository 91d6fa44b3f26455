import numpy as np

from tflite_export.interpreter.pieces import EXP, RECIPROCAL, interpolate

CODES = np.arange(-(2**15), 2**15)


def test_the_exponential_is_right_to_a_few_codes():
    x = (CODES - 32767) * 10.0 / 65535.0
    assert np.abs(interpolate(CODES, EXP) - np.exp(x) * 2**15).max() < 8


def test_the_reciprocal_is_right_to_a_few_codes():
    x = (CODES + 2**15) / 65535.0
    assert np.abs(interpolate(CODES, RECIPROCAL) - 2**15 / (1 + x)).max() < 4


def test_between_two_values_it_goes_straight():
    values = np.zeros(513, np.int64)
    values[257] = 128
    np.testing.assert_array_equal(interpolate(np.array([0, 64, 128, 192]), values), [0, 64, 128, 64])
