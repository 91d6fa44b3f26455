import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_float_halves_round_away_from_zero_and_ends_saturate(operate, on):
    x = ([[0.25, -0.25, 0.75, 1000.0, -1000.0]], "float32")
    assert operate("QUANTIZE", x, out=((1, 5), "int8", on(0.5, 3))).tolist() == [[4, 2, 5, 127, -128]]


def test_codes_move_to_another_grid(operate, on):
    x = ([[5, -128]], "int8", on(0.5, 3))
    assert operate("QUANTIZE", x, out=((1, 2), "int8", on(0.25, -1))).tolist() == [[3, -128]]


def test_bytes_become_codes_and_back(operate, on):
    codes = operate("QUANTIZE", ([[0, 128, 255]], "uint8", on(0.5, 128)), out=((1, 3), "int8", on(0.5)))
    assert codes.tolist() == [[-128, 0, 127]]
    there = operate("QUANTIZE", (codes, "int8", on(0.5)), out=((1, 3), "uint8", on(0.5, 128)))
    assert there.tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_values_whose_cast_is_undefined_are_refused(value, operate, on):
    with pytest.raises(ValueError, match=r"QUANTIZE, tensor 'input 0': values must be finite"):
        operate("QUANTIZE", ([[value]], "float32"), out=((1, 1), "int8", on(0.5)))


@pytest.mark.parametrize("x, y", [("int32", "int8"), ("float32", "int32")])
def test_other_types_are_refused(x, y, operate, on):
    with pytest.raises(UnsupportedOp, match=r"int8 or uint8 or int16. Received: int32"):
        operate("QUANTIZE", ([[1]], x, on(1.0)), out=((1, 1), y, on(1.0)))
