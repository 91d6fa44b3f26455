import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_float_values(operate):
    y = operate("LEAKY_RELU", ([[2.0, -2.0]], "float32"), out=((1, 2), "float32"), alpha=0.25)
    np.testing.assert_array_equal(y, [[2, -0.5]])


def test_int8_rounds_halves_away_from_zero(operate, on):
    y = operate("LEAKY_RELU", ([[8, -8, -6]], "int8", on(1.0)), out=((1, 3), "int8", on(1.0)), alpha=0.25)
    assert y.tolist() == [[8, -2, -2]]


def test_a_slope_of_zero_is_a_relu(operate, on):
    y = operate("LEAKY_RELU", ([[8, -8]], "int8", on(1.0)), out=((1, 2), "int8", on(1.0, 5)), alpha=0.0)
    assert y.tolist() == [[13, 5]]


def test_negative_slopes_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match="`alpha` must not be negative"):
        operate("LEAKY_RELU", ([[8]], "int8", on(1.0)), out=((1, 1), "int8", on(1.0)), alpha=-0.5)
