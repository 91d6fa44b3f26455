import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_int8_sum_on_three_grids(operate, on):
    # 2.0 + 1.0 = 3.0 and -64.0 + -32.25 = -96.25, which is below the lowest code's -62.5
    a, b = ([[4, -128]], "int8", on(0.5)), ([[5, -128]], "int8", on(0.25, 1))
    assert operate("ADD", a, b, out=((1, 2), "int8", on(0.5, -3))).tolist() == [[3, -128]]


def test_float_sum_broadcasts_and_clips(operate):
    x, bias = ([[1.0, -3.0], [5.5, 0.0]], "float32"), ([1.0, 1.0], "float32")
    y = operate("ADD", x, bias, out=((2, 2), "float32"), fused_activation_function="RELU6")
    np.testing.assert_array_equal(y, [[2, 0], [6, 1]])


def test_output_scale_at_which_litert_aborts_is_refused(operate, on):
    a = ([[1]], "int8", on(1.0))
    with pytest.raises(UnsupportedOp, match=r"ADD, tensor 'y'.*output scale must be over"):
        operate("ADD", a, a, out=((1, 1), "int8", on(2.0**-20)))


def test_operands_of_two_types_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match=r"'input 1' \(float32.*expected type int8"):
        operate("ADD", ([[1]], "int8", on(1.0)), ([[1.0]], "float32"), out=((1, 1), "int8", on(1.0)))
