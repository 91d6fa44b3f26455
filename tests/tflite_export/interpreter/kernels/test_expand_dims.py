import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


@pytest.mark.parametrize("axis, shape", [(0, (1, 2, 3)), (-1, (2, 3, 1)), (1, (2, 1, 3))])
def test_new_axis_goes_where_it_is_asked_for(axis, shape, operate):
    assert (
        operate("EXPAND_DIMS", (np.ones((2, 3)), "float32"), ([axis], "int32"), out=(shape, "float32")).shape == shape
    )


def test_position_beyond_the_end_is_refused(operate):
    with pytest.raises(UnsupportedOp, match=r"new axis at \[3\]"):
        operate("EXPAND_DIMS", (np.ones((2, 3)), "float32"), ([3], "int32"), out=((2, 3, 1), "float32"))
