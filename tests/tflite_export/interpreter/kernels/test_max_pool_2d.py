import numpy as np
import pytest

WINDOW = {"filter_height": 2, "filter_width": 2, "stride_h": 2, "stride_w": 2}


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_padding_never_wins(dtype, operate, on):
    grid = on(1.0) if dtype == "int8" else None
    x = ([[[[-120], [-100], [-128]]]], dtype, grid)
    y = operate("MAX_POOL_2D", x, out=((1, 1, 2, 1), dtype, grid), padding="SAME", **WINDOW)
    assert y.ravel().tolist() == [-100, -128]


def test_fused_activation_clips(operate):
    x = (np.array([[[[7.0]]]]), "float32")
    y = operate("MAX_POOL_2D", x, out=((1, 1, 1, 1), "float32"), **WINDOW, fused_activation_function="RELU6")
    assert y.item() == 6
