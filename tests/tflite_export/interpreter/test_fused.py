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


def test_depthwise_equals_a_sum_over_windows():
    rng = np.random.default_rng(0)
    padded, weight = rng.integers(-128, 128, (2, 9, 8, 3)).astype(np.int8), rng.integers(-128, 128, (3, 2, 3))
    rule = fused.rescale_by(np.full(3, 1e-3), (5, -128, 127), np.array([10, 20, 30]))
    out, total = np.empty((2, 3, 2, 3), np.int8), np.zeros((2, 3, 2, 3), np.int64)
    for i in range(3):
        for j in range(2):
            total += padded[:, i * 2 : i * 2 + 5 : 2, j * 3 : j * 3 + 4 : 3] * weight[i, j]
    fused.depthwise(padded, weight.astype(np.int32), (2, 3, 2, 3), rule, out)
    np.testing.assert_array_equal(out, rescaled(total, [1e-3] * 3, (5, -128, 127), np.array([10, 20, 30])))


def test_rescale_has_one_row_per_name_and_one_column_per_channel():
    rule = fused.rescale_by(np.array([0.25, 4.0]), (1, -128, 127), bias=np.array([7, 8]))
    assert rule.table[fused.BIAS].tolist() == [7, 8]
    assert rule.table[fused.POWER].tolist() == [1, 8]
    assert rule.table[fused.RIGHT].tolist() == [1, 0]
    assert rule.table[fused.MASK].tolist() == [1, 0]
    assert rule.table.dtype == np.int32
