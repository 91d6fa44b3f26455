import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

ONCE = {"padding": "VALID", "stride_h": 1, "stride_w": 1}


def test_int8_window_bias_and_zero_points(operate, on):
    # ((5 - 3) * 4 + (7 - 3) * -2 + 6) * 0.5 * 0.25 / 0.5 = 1.5, rounded away from zero, plus 10
    x, w = ([[[[5, 7]]]], "int8", on(0.5, 3)), ([[[[4, -2]]]], "int8", on(0.25))
    assert operate("CONV_2D", x, w, ([6], "int32"), out=((1, 1, 1, 1), "int8", on(0.5, 10)), **ONCE).item() == 12


def test_padding_counts_as_real_zero(operate, on):
    x, w = ([[[[9]]]], "int8", on(1.0, 5)), (np.ones((1, 3, 3, 1)), "int8", on(1.0))
    y = operate("CONV_2D", x, w, ([0], "int32"), out=((1, 1, 1, 1), "int8", on(1.0)), padding="SAME", stride_h=1,
                stride_w=1)  # fmt: skip
    assert y.item() == 4


@pytest.mark.parametrize("depth", [1032, 1033, 4000])
def test_sums_of_extremes_stay_exact(depth, operate, on):
    x, w = (np.full((1, 1, 1, depth), -128), "int8", on(1.0)), (np.full((1, 1, 1, depth), -128), "int8", on(1.0))
    bias = ([-128 * 128 * depth + 77], "int32")
    assert operate("CONV_2D", x, w, bias, out=((1, 1, 1, 1), "int8", on(1.0)), **ONCE).item() == 77


def test_groups_see_their_own_channels(operate):
    x, w = ([[[[1.0, 2.0, 3.0, 4.0]]]], "float32"), ([[[[1.0, 1.0]]], [[[1.0, -1.0]]]], "float32")
    y = operate("CONV_2D", x, w, out=((1, 1, 1, 2), "float32"), **ONCE)
    assert y.ravel().tolist() == [3, -1]


def test_dilation_spreads_the_window(operate):
    x, w = (np.arange(5.0).reshape(1, 1, 5, 1), "float32"), (np.ones((1, 1, 2, 1)), "float32")
    y = operate("CONV_2D", x, w, ([0.5], "float32"), out=((1, 1, 2, 1), "float32"), **ONCE, dilation_w_factor=3)
    assert y.ravel().tolist() == [3.5, 5.5]


def test_int4_weights_work_like_int8(operate, on):
    x, w = ([[[[5]]]], "int8", on(1.0)), ([[[[-8]]]], "int4", on(1.0, bits=4))
    assert operate("CONV_2D", x, w, ([0], "int32"), out=((1, 1, 1, 1), "int8", on(1.0)), **ONCE).item() == -40


def test_missing_bias_is_refused_as_litert_does(operate, on):
    x = ([[[[5]]]], "int8", on(1.0))
    with pytest.raises(UnsupportedOp, match="LiteRT demands a bias"):
        operate("CONV_2D", x, x, out=((1, 1, 1, 1), "int8", on(1.0)), **ONCE)


def test_channels_that_do_not_divide_are_refused(operate):
    x, w = ([[[[1.0, 2.0, 3.0]]]], "float32"), ([[[[1.0, 1.0]]]], "float32")
    with pytest.raises(UnsupportedOp, match="do not split into groups"):
        operate("CONV_2D", x, w, out=((1, 1, 1, 1), "float32"), **ONCE)
