import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_int8_product_on_three_grids(operate, on):
    # 2.0 * 1.0 = 2.0 and -64.0 * -32.25 = 2064, beyond the highest code
    a, b = ([[4, -128]], "int8", on(0.5)), ([[5, -128]], "int8", on(0.25, 1))
    assert operate("MUL", a, b, out=((1, 2), "int8", on(0.5, -3))).tolist() == [[1, 127]]


def test_float_product_clips(operate):
    x = ([[2.0, -3.0]], "float32")
    y = operate("MUL", x, ([[4.0]], "float32"), out=((1, 2), "float32"), fused_activation_function="RELU6")
    np.testing.assert_array_equal(y, [[6, 0]])


def test_ratio_of_scales_without_a_fixed_point_form_is_refused(operate, on):
    a = ([[1]], "int8", on(2.0**20))
    with pytest.raises(UnsupportedOp, match=r"MUL, tensor 'y'.*ratio of scales"):
        operate("MUL", a, a, out=((1, 1), "int8", on(1.0)))
