import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_int8_codes_are_in_units_of_a_256th(operate, on):
    x = ([[0, 127, -128]], "int8", on(0.1))
    assert operate("LOGISTIC", x, out=((1, 3), "int8", on(1 / 256, -128))).tolist() == [[0, 127, -128]]


def test_float_values_never_overflow(operate):
    y = operate("LOGISTIC", ([[0.0, 1e4, -1e4]], "float32"), out=((1, 3), "float32"))
    np.testing.assert_array_equal(y, [[0.5, 1, 0]])


def test_other_output_scales_are_refused_as_litert_does(operate, on):
    with pytest.raises(UnsupportedOp, match=r"'y'.*1/256"):
        operate("LOGISTIC", ([[0]], "int8", on(0.1)), out=((1, 1), "int8", on(1 / 128, -128)))
