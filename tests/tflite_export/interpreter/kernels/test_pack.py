import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_tensors_lie_side_by_side_along_a_new_axis(operate, on):
    a, b = ([[1, 2]], "int8", on(0.5)), ([[3, 4]], "int8", on(0.5))
    y = operate("PACK", a, b, out=((1, 2, 2), "int8", on(0.5)), axis=-1, values_count=2)
    np.testing.assert_array_equal(y, [[[1, 3], [2, 4]]])


def test_another_grid_is_refused(operate, on):
    with pytest.raises(UnsupportedOp, match="Insert a QUANTIZE"):
        operate("PACK", ([1], "int8", on(0.5)), ([1], "int8", on(1)), out=((2, 1), "int8", on(0.5)), axis=0)


@pytest.mark.parametrize("shape, axis, message", [([1.0], 2, "no axis 2"), ([1.0, 2.0], 0, "inputs of one shape")])
def test_what_cannot_be_is_refused(shape, axis, message, operate):
    with pytest.raises(UnsupportedOp, match=message):
        operate("PACK", ([1.0], "float32"), (shape, "float32"), out=((2, 1), "float32"), axis=axis)
