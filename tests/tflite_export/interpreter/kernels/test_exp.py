import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_float_values_may_overflow_to_infinity(operate):
    y = operate("EXP", ([[0.0, 1.0, 1e4]], "float32"), out=((1, 3), "float32"))
    np.testing.assert_allclose(y, [[1, np.e, np.inf]], rtol=1e-6)


def test_int8_rounds_what_float32_gives(operate, on):
    y = operate("EXP", ([[0, -10, -128]], "int8", on(0.1)), out=((1, 3), "int8", on(1 / 255, -128)))
    assert y.tolist() == [[127, -34, -128]]


def test_results_beyond_all_codes_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match="the scale is too small for what the function delivers"):
        operate("EXP", ([[0]], "int8", on(1.0)), out=((1, 1), "int8", on(0.1)))
