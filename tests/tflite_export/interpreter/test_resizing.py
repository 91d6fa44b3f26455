"""What resizing ops demand of their operands."""

import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


@pytest.mark.parametrize(
    ("shape", "size", "made", "message"),
    [
        ((1, 2, 2), [4, 4], (1, 4, 4), "resized to two lengths"),
        ((1, 2, 2, 1), [4], (1, 4, 4, 1), "resized to two lengths"),
        ((1, 2, 2, 1), [0, 4], (1, 0, 4, 1), "resized to two lengths"),
        ((1, 2, 2, 1), [4, 4], (1, 4, 5, 1), "expected the height and width"),
    ],
)
def test_other_operands_are_refused(shape, size, made, message, operate):
    with pytest.raises(UnsupportedOp, match=message):
        operate("RESIZE_BILINEAR", (np.zeros(shape), "float32"), (size, "int32"), out=(made, "float32"))
