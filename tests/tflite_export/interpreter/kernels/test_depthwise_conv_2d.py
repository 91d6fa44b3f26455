import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

ONCE = {"padding": "VALID", "stride_h": 1, "stride_w": 1}


@pytest.mark.parametrize("bias", [True, False])
def test_int8_channels_stay_apart_and_multiply(bias, operate, on):
    # input channel c feeds outputs 2c and 2c + 1
    x, w = ([[[[5, 7]]]], "int8", on(1.0, 3)), ([[[[1, 2, 3, 4]]]], "int8", on([1.0, 1.0, 1.0, 0.5], axis=3))
    operands = [x, w, *([([1, 1, 1, 2], "int32")] if bias else [])]
    y = operate("DEPTHWISE_CONV_2D", *operands, out=((1, 1, 1, 4), "int8", on(1.0)), **ONCE, depth_multiplier=2)
    assert y.ravel().tolist() == ([3, 5, 13, 9] if bias else [2, 4, 12, 8])


def test_padding_counts_as_real_zero(operate, on):
    x, w = ([[[[9]]]], "int8", on(1.0, 5)), (np.ones((1, 3, 3, 1)), "int8", on(1.0))
    y = operate("DEPTHWISE_CONV_2D", x, w, out=((1, 1, 1, 1), "int8", on(1.0)), padding="SAME", stride_h=1, stride_w=1)
    assert y.item() == 4


def test_float_window_slides(operate):
    x, w = (np.arange(4.0).reshape(1, 1, 4, 1), "float32"), (np.ones((1, 1, 2, 1)), "float32")
    y = operate("DEPTHWISE_CONV_2D", x, w, ([0.5], "float32"), out=((1, 1, 2, 1), "float32"), padding="VALID",
                stride_h=1, stride_w=2, fused_activation_function="RELU6")  # fmt: skip
    assert y.ravel().tolist() == [1.5, 5.5]


def test_filters_of_another_shape_are_refused(operate):
    x, w = ([[[[1.0, 2.0]]]], "float32"), (np.ones((1, 1, 1, 3)), "float32")
    with pytest.raises(UnsupportedOp, match=r"channels \* n"):
        operate("DEPTHWISE_CONV_2D", x, w, out=((1, 1, 1, 3), "float32"), **ONCE)
