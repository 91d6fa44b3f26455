import numpy as np

from tflite_export.interpreter.pieces import EXP, RECIPROCAL, interpolate, table

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


def test_functions_that_leave_the_numbers_have_an_end_and_zeros_behind_it():
    with np.errstate(over="ignore", invalid="ignore"):
        values = table(np.exp, np.float32(-100), np.float32(100), np.float32(1))
    assert values.max() == 32767 and values[-2] == 0 and values[0] == 0


def test_slopes_wrap_around_as_they_do_in_16_bits():
    jump = np.where(np.arange(513) < 257, -32768, 32767)
    assert interpolate(np.array([1, 127]), jump).tolist() == [-32768, 32767]
