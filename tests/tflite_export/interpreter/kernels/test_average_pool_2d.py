import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

WINDOW = {"filter_height": 2, "filter_width": 2, "stride_h": 2, "stride_w": 2}


def test_int8_mean_rounds_halves_away_from_zero(operate, on):
    x = ([[[[1], [2], [-1], [-2]], [[1], [2], [-1], [-2]]]], "int8", on(0.5, 3))
    y = operate("AVERAGE_POOL_2D", x, out=((1, 1, 2, 1), "int8", on(0.5, 3)), padding="VALID", **WINDOW)
    assert y.ravel().tolist() == [2, -2]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_padding_does_not_count(dtype, operate, on):
    grid = on(1.0, 100) if dtype == "int8" else None
    x = ([[[[8], [8], [8]]]], dtype, grid)
    y = operate("AVERAGE_POOL_2D", x, out=((1, 1, 2, 1), dtype, grid), padding="SAME", **WINDOW)
    assert y.ravel().tolist() == [8, 8]


def test_fused_activation_clips_codes(operate, on):
    x = ([[[[-100]]]], "int8", on(1.0, 5))
    y = operate("AVERAGE_POOL_2D", x, out=((1, 1, 1, 1), "int8", on(1.0, 5)), padding="SAME", **WINDOW,
                fused_activation_function="RELU")  # fmt: skip
    assert y.item() == 5


def test_nothing_is_rescaled(operate, on):
    with pytest.raises(UnsupportedOp, match=r"'input 0'.*Insert a QUANTIZE"):
        operate("AVERAGE_POOL_2D", ([[[[1]]]], "int8", on(1.0)), out=((1, 1, 1, 1), "int8", on(2.0)), **WINDOW)


def test_float_mean(operate):
    x = (np.arange(4.0).reshape(1, 2, 2, 1), "float32")
    y = operate("AVERAGE_POOL_2D", x, out=((1, 1, 1, 1), "float32"), padding="VALID", **WINDOW)
    assert y.item() == 1.5
