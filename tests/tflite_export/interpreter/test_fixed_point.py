import numpy as np
import pytest

from tflite_export.interpreter import fixed_point


def test_exponential_is_within_a_few_units_of_the_real_one():
    a = -np.arange(0, 31 << 26, 12_345_678)
    np.testing.assert_allclose(fixed_point.exp_on_negative(a) / 2**31, np.exp(a / 2.0**26), atol=4e-8)


def test_exponential_of_zero_is_the_largest_number():
    assert fixed_point.exp_on_negative(np.array([0])) == 2**31 - 1


@pytest.mark.parametrize("value", [1.0, 1.5, 2 - 2**-19, 2.0, 3.0, 100.0, 511.0, 4095.0, 6000.0])
def test_reciprocal_of_one_and_more(value):
    reciprocal, over_unit = fixed_point.reciprocal(np.array([int(value * 2**19)]), 12)
    assert reciprocal[0] / 2**31 * 2.0 ** -over_unit[0] == pytest.approx(1 / value, rel=1e-7)


def test_constants_are_those_of_gemmlowp():
    assert fixed_point.EXP_OF_MINUS_EIGHTH == 1895147668
    assert [factor for _, factor in fixed_point.EXP_OF_MINUS_POWERS][-1] == 242
