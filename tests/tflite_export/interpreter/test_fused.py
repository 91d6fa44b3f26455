import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export.interpreter import arithmetic, fused


def rescaled(x, reals, limits, bias):
    """The same in plain NumPy, function by function."""
    pairs = np.array([arithmetic.quantize_multiplier(real) for real in reals]).T
    total = arithmetic.wrap_int32(x + bias)
    zero_point, low, high = limits
    return np.clip(arithmetic.multiply_by_quantized_multiplier(total, *pairs) + zero_point, low, high)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(2.0**-35, 2.0**8), min_size=1, max_size=9), st.integers(0, 2**32 - 1))
def test_fused_requantisation_equals_the_equations(reals, seed):
    rng = np.random.default_rng(seed)
    accumulator = rng.integers(-(2**31), 2**31, (5, len(reals)))
    bias, limits = rng.integers(-(2**31), 2**31, len(reals)), (int(rng.integers(-128, 128)), -100, 90)
    rule = fused.rescale_by(np.array(reals), limits, bias)
    out = np.empty(accumulator.shape, np.int8)
    fused.requantize(accumulator.astype(np.int32), rule, out)
    np.testing.assert_array_equal(out, rescaled(accumulator, reals, limits, bias))


@pytest.mark.parametrize("total, code", [(1, 1), (-1, -1), (3, 2), (-3, -2), (0, 0), (400, 127), (-400, -128)])
def test_double_requantisation_rounds_halves_away_from_zero(total, code):
    out = np.empty((1, 1), np.int8)
    fused.requantize_double(np.float32([[total - 5]]), np.int32([5]), np.array([0.5]), (0, -128, 127), out)
    assert out == code


def test_ties_round_half_up_then_half_away_from_zero():
    """``m = 2**30``, ``s = -1``: a sum is halved, halves up, and halved again, halves away from zero."""
    total = np.arange(-9, 10, dtype=np.int32).reshape(-1, 1)
    out = np.empty(total.shape, np.int8)
    fused.requantize(total, fused.rescale_by(0.25, (0, -128, 127)), out)
    np.testing.assert_array_equal(out, rescaled(total, [0.25], (0, -128, 127), 0))
    assert out[[0, 2, 4, 14, 16, 18], 0].tolist() == [-2, -2, -1, 2, 2, 3]


def test_rescale_has_one_row_per_name_and_one_column_per_channel():
    rule = fused.rescale_by(np.array([0.25, 4.0]), (1, -128, 127), bias=np.array([7, 8]))
    assert rule.table[fused.BIAS].tolist() == [7, 8]
    assert rule.table[fused.LEFT].tolist() == [0, 3]
    assert rule.wide[fused.RIGHT].tolist() == [32, 31]
    assert rule.wide[fused.HALF].tolist() == [2**31, 0]
    assert rule.wide[fused.AWAY].tolist() == [-(2**31), 0]
    assert (rule.table.dtype, rule.wide.dtype) == (np.int32, np.int64)


def test_part_of_a_rule_is_the_rule_of_these_channels():
    reals, bias = np.array([0.5, 0.25, 3.0, 0.125]), np.arange(4)
    whole, part = fused.rescale_by(reals, (1, -9, 9), bias), fused.rescale_by(reals[1:3], (1, -9, 9), bias[1:3])
    for expected, found in zip(part, whole.part(1, 2)):
        np.testing.assert_array_equal(found, expected)
