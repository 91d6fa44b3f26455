import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_int8_is_within_a_step_of_float(operate, on):
    codes = np.arange(-127, 128)[None]
    y = operate("RSQRT", (codes, "int8", on(0.5, -128)), out=((1, 255), "int8", on(1 / 128, -128)))
    expected = np.clip(np.rint(128 / np.sqrt((codes + 128) * 0.5)) - 128, -128, 127)
    assert np.abs(y - expected).max() <= 1


def test_zero_becomes_the_highest_code(operate, on):
    assert operate("RSQRT", ([[-128]], "int8", on(0.5, -128)), out=((1, 1), "int8", on(1.0))).tolist() == [[127]]


def test_grids_with_negative_values_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match="expected zero point -128"):
        operate("RSQRT", ([[1]], "int8", on(0.5, 0)), out=((1, 1), "int8", on(1.0)))
