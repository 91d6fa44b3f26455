import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_int8_border_is_the_zero_point(operate, on):
    y = operate("PAD", ([[7]], "int8", on(0.5, 3)), ([[0, 0], [1, 2]], "int32"), out=((1, 4), "int8", on(0.5, 3)))
    assert y.tolist() == [[3, 7, 3, 3]]


def test_float_border_is_zero(operate):
    y = operate("PAD", ([[7.0]], "float32"), ([[1, 0], [0, 0]], "int32"), out=((2, 1), "float32"))
    np.testing.assert_array_equal(y, [[0], [7]])


@pytest.mark.parametrize("widths", [[[0, 0]], [[0, 0], [-1, 0]]])
def test_widths_that_do_not_fit_are_refused(widths, operate):
    with pytest.raises(UnsupportedOp, match=r"paddings >= 0 of shape \(2, 2\)"):
        operate("PAD", ([[7.0]], "float32"), (widths, "int32"), out=((1, 1), "float32"))
