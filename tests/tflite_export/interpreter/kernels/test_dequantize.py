import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_codes_become_values(operate, on):
    y = operate("DEQUANTIZE", ([[5, -128, 127]], "int8", on(0.1, 3)), out=((1, 3), "float32"))
    np.testing.assert_array_equal(y, np.float32(np.array([[2, -131, 124]]) * np.float64(np.float32(0.1))))


def test_other_types_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match=r"expected type int8 or int16. Received: int32"):
        operate("DEQUANTIZE", ([[5]], "int32", on(0.1)), out=((1, 1), "float32"))
