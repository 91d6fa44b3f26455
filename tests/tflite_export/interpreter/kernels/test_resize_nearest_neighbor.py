import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

LINE = np.arange(4, dtype=np.float32).reshape(1, 1, 4, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 0, 1, 2, 2, 3]),
        ({"half_pixel_centers": True}, [0, 1, 1, 2, 3, 3]),
        ({"align_corners": True}, [0, 1, 1, 2, 2, 3]),
    ],
    ids=str,
)
def test_each_rule_finds_its_pixels(options, expected, operate):
    y = operate(
        "RESIZE_NEAREST_NEIGHBOR", (LINE, "float32"), ([1, 6], "int32"), out=((1, 1, 6, 1), "float32"), **options
    )
    assert y.ravel().tolist() == expected


def test_another_grid_behind_is_refused(operate, on):
    x = (np.zeros((1, 1, 1, 1)), "int8", on(1.0))
    with pytest.raises(UnsupportedOp, match="expected the scale and zero point"):
        operate("RESIZE_NEAREST_NEIGHBOR", x, ([2, 2], "int32"), out=((1, 2, 2, 1), "int8", on(0.5)))
