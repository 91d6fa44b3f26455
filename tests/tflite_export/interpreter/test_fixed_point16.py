import numpy as np
import pytest

from tflite_export.interpreter.fixed_point16 import logistic_table, tanh_table

CODES = np.arange(2**16).astype(np.uint16).view(np.int16).astype(np.float64)


def test_the_logistic_is_near_the_true_one_and_mirrored():
    true = 1 / (1 + np.exp(-CODES / 2.0**12))
    assert np.abs(logistic_table() / 2.0**15 - true).max() < 2.0**-12
    assert logistic_table()[0] == 2**14
    np.testing.assert_array_equal(logistic_table()[1 : 2**15], 2**15 - 1 - logistic_table()[: 2**15 : -1])


@pytest.mark.parametrize("bits", range(7))
def test_the_tanh_is_near_the_true_one_and_odd(bits):
    true = np.tanh(CODES / 2.0 ** (15 - bits))
    assert np.abs(tanh_table(bits) / 2.0**15 - true).max() < 2.0**-10
    assert tanh_table(bits)[0] == 0
    np.testing.assert_array_equal(tanh_table(bits)[1 : 2**15], -tanh_table(bits)[: 2**15 : -1])


def test_beyond_32_the_exponential_is_zero_and_the_tanh_one():
    assert set(tanh_table(6)[32 * 512 + 1 : 2**15]) == {2**15 - 1}
