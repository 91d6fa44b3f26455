import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

X = (np.arange(12.0).reshape(3, 4), "float32")


def sliced(operate, begin, end, strides, shape, **options):
    constants = [(values, "int32") for values in (begin, end, strides)]
    return operate("STRIDED_SLICE", X, *constants, out=(shape, "float32"), **options)


def test_each_axis_is_a_python_slice(operate):
    y = sliced(operate, [0, -1], [2, 0], [1, -2], (2, 2))
    np.testing.assert_array_equal(y, X[0][0:2, -1:0:-2])


def test_masks_open_a_side_or_drop_an_axis(operate):
    y = sliced(operate, [1, 2], [1, 3], [1, 1], (4,), begin_mask=2, end_mask=2, shrink_axis_mask=1)
    np.testing.assert_array_equal(y, X[0][1, :])


@pytest.mark.parametrize(
    "begin, strides, options, message",
    [
        ([0, 0], [1, 1], {"ellipsis_mask": 1}, "`ellipsis_mask` is not supported"),
        ([0], [1, 1], {}, "one slice for each axis"),
        ([0, 0], [1, 0], {}, "one slice for each axis"),
        ([3, 0], [1, 1], {"shrink_axis_mask": 1}, "axis 0 has no element 3"),
    ],
)
def test_what_cannot_be_is_refused(begin, strides, options, message, operate):
    with pytest.raises(UnsupportedOp, match=message):
        sliced(operate, begin, [1, 1], strides, (1, 1), **options)
