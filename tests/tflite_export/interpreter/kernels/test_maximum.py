import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_larger_value_with_broadcasting(operate):
    y = operate("MAXIMUM", ([[1.0, -3.0]], "float32"), ([0.0], "float32"), out=((1, 2), "float32"))
    np.testing.assert_array_equal(y, [[1, 0]])


def test_int8_codes_are_compared_on_one_grid_only(operate, on):
    x, low = ([[5, -9]], "int8", on(0.5, 3)), ([[-4]], "int8", on(0.5, 3))
    assert operate("MAXIMUM", x, low, out=((1, 2), "int8", on(0.5, 3))).tolist() == [[5, -4]]
    with pytest.raises(UnsupportedOp, match="Insert a QUANTIZE"):
        operate("MAXIMUM", x, ([[-4]], "int8", on(0.25, 3)), out=((1, 2), "int8", on(0.5, 3)))
