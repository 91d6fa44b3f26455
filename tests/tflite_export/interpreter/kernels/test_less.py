import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_numbers_are_compared_with_broadcasting(operate, dtype):
    y = operate("LESS", (np.array([[-1, 0, 2]]), dtype), (np.array([0]), dtype), out=((1, 3), "bool"))
    assert y.tolist() == [[True, False, False]]


def test_codes_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match="float32 or int32 or int64"):
        operate("LESS", ([[1]], "int8", on(0.5, 0)), ([[2]], "int8", on(0.5, 0)), out=((1, 1), "bool"))
