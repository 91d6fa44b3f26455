import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_axes_are_permuted(operate, on):
    x = (np.arange(6).reshape(1, 2, 3), "int8", on(1.0))
    y = operate("TRANSPOSE", x, ([2, 0, 1], "int32"), out=((3, 1, 2), "int8", on(1.0)))
    np.testing.assert_array_equal(y[:, 0], [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1]])
def test_what_is_no_permutation_is_refused(order, operate):
    with pytest.raises(UnsupportedOp, match="expected a permutation"):
        operate("TRANSPOSE", (np.ones((1, 2, 3)), "float32"), (order, "int32"), out=((1, 2, 3), "float32"))
