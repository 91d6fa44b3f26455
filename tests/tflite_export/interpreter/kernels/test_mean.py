import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_int8_mean_moves_to_the_grid_of_the_output(operate, on):
    # codes 5, 6, 10 stand for 1.0, 1.5, 3.5; their mean 2.0 has the code 8 - 1
    x = ([[5, 6, 10]], "int8", on(0.5, 3))
    assert operate("MEAN", x, ([1], "int32"), out=((1,), "int8", on(0.25, -1))).tolist() == [7]


@pytest.mark.parametrize("axes, keep, shape", [([1, 2], True, (1, 1, 1, 2)), ([-2, 1, 1], False, (1, 2))])
def test_axes_may_be_negative_or_repeated_and_kept(axes, keep, shape, operate):
    x = (np.arange(12.0).reshape(1, 2, 3, 2), "float32")
    y = operate("MEAN", x, (axes, "int32"), out=(shape, "float32"), keep_dims=keep)
    np.testing.assert_array_equal(y, np.reshape([5, 6], shape))


def test_axis_that_is_not_there_is_refused(operate):
    with pytest.raises(UnsupportedOp, match=r"'input 0'.*has no axes \[3\]"):
        operate("MEAN", ([[1.0]], "float32"), ([3], "int32"), out=((1,), "float32"))
