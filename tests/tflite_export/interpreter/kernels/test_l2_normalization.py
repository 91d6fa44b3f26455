import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

ROWS = [[3, -4, 0], [0, 0, 0], [0, 7, 0]]


def test_every_row_has_length_one(operate, on):
    y = operate("L2_NORMALIZATION", (ROWS, "int8", on(0.5)), out=((3, 3), "int8", on(1 / 128)))
    np.testing.assert_array_equal(y, [[77, -102, 0], [0, 0, 0], [0, 127, 0]])  # 0.6, 0.8, and 1 is 127/128
    moved = operate("L2_NORMALIZATION", (np.array(ROWS) + 5, "int8", on(0.5, 5)), out=((3, 3), "int8", on(1 / 128)))
    np.testing.assert_array_equal(moved, y)


def test_float_rows_have_length_one_and_nothing_stays_nothing(operate):
    y = operate("L2_NORMALIZATION", (ROWS, "float32"), out=((3, 3), "float32"))
    np.testing.assert_allclose(y, [[0.6, -0.8, 0], [0, 0, 0], [0, 1, 0]], rtol=1e-6)


def test_what_the_kernel_cannot_do_is_refused(operate, on):
    rows = ([[1]], "int8", on(0.5))
    with pytest.raises(UnsupportedOp, match="the grid must be 1/128, 0"):
        operate("L2_NORMALIZATION", rows, out=((1, 1), "int8", on(1 / 64)))
    with pytest.raises(UnsupportedOp, match="no fused activation"):
        operate("L2_NORMALIZATION", rows, out=((1, 1), "int8", on(1 / 128)), fused_activation_function="RELU")
    with pytest.raises(UnsupportedOp, match="at most 33025 components"):
        operate("L2_NORMALIZATION", (np.zeros((1, 33026)), "int8", on(1)), out=((1, 33026), "int8", on(1 / 128)))
