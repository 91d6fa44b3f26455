import numpy as np
import pytest

from tflite_export.ir import Graph, Op, Quantization, Tensor


def grid(scale, zero_point=0, **kwargs):
    scale = np.atleast_1d(np.float32(scale))
    return Quantization(scale, np.full(scale.shape, zero_point, np.int64), **kwargs)


@pytest.fixture
def network():
    """A convolution to a 4-bit map, a reshape and a softmax that LiteRT can run; the file asked for 4 bits twice."""
    kernel = np.random.default_rng(0).integers(-7, 8, (4, 3, 3, 3)).astype(np.int8)
    scales = np.float32([0.01, 0.02, 0.03, 0.04])
    bias = np.array([5, -6, 0, 7], np.int32)
    tensors = (
        Tensor("image", (1, 5, 5, 3), "int8", grid(0.5, 3)),
        Tensor("conv/kernel", kernel.shape, "int8", grid(scales, bits=4), kernel),
        Tensor("conv/bias", (4,), "int32", grid(0.5 * scales, bits=32), bias),
        Tensor("conv", (1, 5, 5, 4), "int8", grid(1.5, 112, bits=4, low=112)),
        Tensor("flat/shape", (2,), "int32", None, np.array([1, 100], np.int32)),
        Tensor("flat", (1, 100), "int8", grid(1.5, 112, bits=4, low=112)),
        Tensor("softmax", (1, 100), "int8", grid(1 / 256, -128)),
    )
    relu = {"padding": "SAME", "fused_activation_function": "RELU", "stride_h": 1, "stride_w": 1}
    ops = (
        Op("CONV_2D", (0, 1, 2), (3,), relu),
        Op("RESHAPE", (3, 4), (5,), {"new_shape": (1, 100)}),
        Op("SOFTMAX", (5,), (6,), {"beta": 1.0}),
    )
    asked = b'{"layers":{"conv":{"kernel":{"bits":4},"output":{"bits":4}}},"version":1}'
    return Graph(tensors, ops, (0,), (6,), metadata={"tfcompress": asked})


@pytest.fixture
def images():
    """Ten inputs of ``network``, floats over its whole range."""
    return np.random.default_rng(1).uniform(-70, 70, (10, 5, 5, 3)).astype(np.float32)
