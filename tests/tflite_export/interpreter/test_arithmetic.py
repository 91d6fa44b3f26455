import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_export.interpreter import arithmetic as a

INT32 = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.parametrize("x, y", [(0.5, 1), (-0.5, -1), (1.5, 2), (-2.5, -3), (0.49999999999999994, 0), (2.0, 2)])
def test_halves_round_away_from_zero(x, y):
    assert a.round_half_away(x) == y


def test_rounding_keeps_float32():
    assert a.round_half_away(np.float32([2.5])).dtype == np.float32


@pytest.mark.parametrize("real, pair", [(1.0, (2**30, 1)), (0.25, (2**30, -1)), (0.0, (0, 0)), (2.0**-33, (0, 0))])
def test_multiplier_of_a_power_of_two_is_exact(real, pair):
    assert a.quantize_multiplier(real) == pair


def test_multiplier_that_rounds_up_to_a_power_of_two_is_renormalised():
    assert a.quantize_multiplier(1 - 2.0**-40) == (2**30, 1)


@given(st.floats(2.0**-31, 2.0**30))
def test_multiplier_is_within_half_a_unit_of_the_real_number(real):
    multiplier, shift = a.quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert abs(multiplier * 2.0 ** (shift - 31) - real) <= 2.0 ** (shift - 32)


@given(INT32, INT32)
def test_high_mul_rounds_half_up_and_saturates(x, y):
    exact = math.floor((x * y + 2**30) / 2**31) if abs(x * y) < 2**52 else (x * y + 2**30) // 2**31
    assert a.saturating_rounding_doubling_high_mul(np.int64(x), np.int64(y)) == min(exact, 2**31 - 1)


@given(INT32, st.integers(0, 31))
def test_division_by_a_power_of_two_rounds_half_away_from_zero(x, exponent):
    magnitude = (abs(x) + (1 << exponent >> 1)) >> exponent
    assert a.rounding_divide_by_power_of_two(np.int64(x), exponent) == math.copysign(magnitude, x)


def test_rescaling_rounds_twice():
    """3 / 8 is 0 if rounded once, but 3 / 2 is rounded to 2 first, and 2 / 4 to 1."""
    assert a.multiply_by_quantized_multiplier(np.int64(3), *a.quantize_multiplier(1 / 8)) == 1


def test_rescaling_wraps_the_shifted_accumulator():
    assert a.multiply_by_quantized_multiplier(np.int64(2**30), *a.quantize_multiplier(4.0)) == 0


@pytest.mark.parametrize(
    "name, limits",
    [("NONE", (-128, 127)), ("RELU", (-10, 127)), ("RELU6", (-10, 50)), ("RELU_N1_TO_1", (-20, 0))],
)
def test_activations_clip_between_the_codes_of_their_bounds(name, limits):
    assert a.activation_range(name, np.float32(0.1), -10) == limits


def test_activation_range_stays_inside_int8():
    assert a.activation_range("RELU6", np.float32(0.01), 100) == (100, 127)


def test_float_activation_without_bounds_is_the_identity():
    x = np.array([-7.0, 7.0])
    assert a.activate(x, "NONE") is x
    np.testing.assert_array_equal(a.activate(x, "RELU6"), [0, 6])
