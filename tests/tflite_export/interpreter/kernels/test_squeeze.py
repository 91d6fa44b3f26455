import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


@pytest.mark.parametrize("axes, shape", [((), (2,)), ((-1,), (1, 2)), ((0,), (2, 1))])
def test_given_axes_go_or_else_all_of_length_one(axes, shape, operate):
    y = operate("SQUEEZE", (np.ones((1, 2, 1)), "float32"), out=(shape, "float32"), squeeze_dims=axes)
    assert y.shape == shape


def test_longer_axes_stay(operate):
    with pytest.raises(UnsupportedOp, match=r"axes of length 1. Received: \[1\]"):
        operate("SQUEEZE", (np.ones((1, 2, 1)), "float32"), out=((1, 1), "float32"), squeeze_dims=(1,))
