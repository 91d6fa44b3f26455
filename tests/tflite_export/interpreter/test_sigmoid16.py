import numpy as np
import pytest

from tflite_export.interpreter.sigmoid16 import logistic, multiplier_and_shift, tanh

CODES = np.arange(-(2**15), 2**15)


@pytest.mark.parametrize("scale", [2.0**-12, 0.0007, 2.0**-9])
def test_it_is_the_logistic_function_to_a_few_codes(scale):
    exact = 2**15 / (1 + np.exp(-CODES * scale))
    assert np.abs(logistic(CODES, np.float32(scale)) - exact).max() < 12


def test_it_is_symmetric():
    y = logistic(CODES[1:], np.float32(0.0007)).astype(np.int64)
    assert np.abs(y + y[::-1] - 2**15).max() <= 1


def test_powers_of_two_that_are_listed_need_no_multiplier():
    assert multiplier_and_shift(np.float32(2.0**-12), (0,)) == (3, 0)
    assert multiplier_and_shift(np.float32(2.0**-11), (0, 1)) == (6, 0)
    multiplier, shift = multiplier_and_shift(np.float32(2.0**-11), (0,))
    assert multiplier / 2**shift == 6
    assert multiplier > 2**14


@pytest.mark.parametrize("scale", [2.0**-12, 2.0**-11, 0.0003, 0.7])
def test_tanh_is_the_function_to_a_few_codes_and_odd_but_for_rounding(scale):
    y = tanh(CODES, np.float32(scale)).astype(np.int64)
    assert np.abs(y - np.clip(np.rint(np.tanh(CODES * scale) * 2**15), -(2**15), 2**15 - 1)).max() < 4
    assert np.abs(y[1:] + y[1:][::-1]).max() <= 2
