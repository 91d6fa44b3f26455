import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

LINE = np.array([0, 8], np.float32).reshape(1, 1, 2, 1)
RULES = [
    ({}, [0, 4, 8, 8]),
    ({"half_pixel_centers": True}, [0, 2, 6, 8]),
    ({"align_corners": True}, [0, 8 / 3, 16 / 3, 8]),
]


@pytest.mark.parametrize(("options", "expected"), RULES, ids=str)
def test_each_rule_weighs_its_pixels(options, expected, operate):
    y = operate("RESIZE_BILINEAR", (LINE, "float32"), ([1, 4], "int32"), out=((1, 1, 4, 1), "float32"), **options)
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize(("options", "expected"), RULES, ids=str)
def test_int8_rounds_the_mean_of_codes(options, expected, operate, on):
    out = ((1, 1, 4, 1), "int8", on(1.0))
    y = operate("RESIZE_BILINEAR", (-LINE, "int8", on(1.0)), ([1, 4], "int32"), out=out, **options)
    assert y.ravel().tolist() == [-round(v) for v in expected]


def test_both_rules_at_once_are_refused(operate):
    options = {"align_corners": True, "half_pixel_centers": True}
    with pytest.raises(UnsupportedOp, match="exclude each other"):
        operate("RESIZE_BILINEAR", (LINE, "float32"), ([1, 4], "int32"), out=((1, 1, 4, 1), "float32"), **options)
