import numpy as np
import pytest

from tflite_export.ir import Graph, Op, Quantization, Tensor


def grid(scale, zero_point=0, **kwargs):
    scale = np.atleast_1d(np.float32(scale))
    return Quantization(scale, np.full(scale.shape, zero_point, np.int64), **kwargs)


@pytest.fixture
def graph():
    """A convolution to a 4-bit map, a reshape and a softmax, with everything that a file can carry."""
    kernel = np.random.default_rng(0).integers(-8, 8, (4, 3, 3, 3)).astype(np.int8)
    tensors = (
        Tensor("image", (1, 5, 5, 3), "int8", grid(0.5, 3)),
        Tensor("conv/kernel", kernel.shape, "int8", grid([0.01, 0.02, 0.03, 0.04], bits=4), kernel),
        Tensor(
            "conv/bias", (4,), "int32", grid([0.005, 0.01, 0.015, 0.02], bits=32), np.array([5, -6, 0, 7], np.int32)
        ),
        Tensor("conv", (1, 5, 5, 4), "int8", grid(1.5, 112, bits=4, low=112)),
        Tensor("flat/shape", (2,), "int32", None, np.array([1, 100], np.int32)),
        Tensor("flat", (1, 100), "int8", grid(1.5, 112, bits=4, low=112)),
        Tensor("softmax", (1, 100), "int8", grid(1 / 256, -128)),
    )
    options = {"padding": "SAME", "fused_activation_function": "RELU", "stride_h": 1, "stride_w": 1}
    ops = (
        Op("CONV_2D", (0, 1, 2), (3,), options),
        Op("RESHAPE", (3, 4), (5,), {"new_shape": (1, 100)}),
        Op("SOFTMAX", (5,), (6,), {"beta": 0.1}),
    )  # fmt: skip
    metadata = {"tfcompress": b'{"layers":{"conv":{"kernel":{"bits":4}}},"version":1}', "note": b"\x00\x01"}
    return Graph(tensors, ops, (0,), (6,), ("serving_default", {"x": 0}, {"y": 6}), metadata, "a small graph")
