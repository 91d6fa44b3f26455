"""DEPTHWISE_CONV_2D: ``y[n, i, j, c * M + m] = sum(x[n, window, c] * w[window, c * M + m]) + b[c * M + m]``.

Filters are (1, kh, kw, C * M) with M the depth multiplier. int8: as CONV_2D, quantised along axis 3.
int16: as CONV_2D with an int64 bias.

Source: TensorFlow Lite, ``reference_integer_ops::DepthwiseConvPerChannel``. Differs from it in the order of the
(exact) sum.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused, linear
from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.operands import (
    WIDE,
    Kernel,
    activation,
    affine,
    common_type,
    expect_shape,
    refuse,
    required,
)
from tflite_export.interpreter.weighted import rescale, rescale_wide, weights
from tflite_export.interpreter.windows import Windows, windows
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 with int8 or int4 filters, int16 with int8; any depth multiplier, strided, dilated."""
    x, filters = required(op, tensors, 0), weights(op, tensors, rank=4)
    slide = windows(op, x, filters.shape[1:3])
    if len(filters) != 1 or filters.shape[3] % x.shape[3]:
        refuse(op, x, f"expected filters of shape (1, height, width, channels * n). Received: {filters.shape}")
    multiplier = filters.shape[3] // x.shape[3]
    expect_shape(op, tensors, (x.shape[0], *slide.out, filters.shape[3]))
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype == "float32":
        return _float(slide, filters[0], multiplier, activation(op, tensors))
    if dtype == "int16":
        return _int16(slide, filters[0], multiplier, rescale_wide(op, tensors, filters.shape[3]))
    rule = rescale(op, tensors, np.zeros(filters.shape[3], np.int64))  # the kernel subtracts the zero point
    return _int8(slide, filters[0], multiplier, affine(op, x)[1], rule)


def _float(slide: Windows, filters: np.ndarray, multiplier: int, activation: str) -> Kernel:
    by_position = filters.reshape(-1, filters.shape[-1])

    def run(x: np.ndarray, _filters: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray]:
        padded = np.repeat(slide.pad(x, 0.0), multiplier, axis=-1)
        y = np.zeros((len(x), *slide.out, filters.shape[-1]), np.float32)
        for tap, weight in zip(slide.taps(padded), by_position):
            y += tap * weight
        return (activate(y if bias is None else y + bias, activation),)

    return run


def _int8(slide: Windows, filters: np.ndarray, multiplier: int, zero_point: int, rule: fused.Rescale) -> Kernel:
    weights, steps = linear.stacks(filters), (*slide.stride, *slide.dilation)

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty((len(x), *slide.out, filters.shape[-1]), np.int8)
        spread = np.repeat(x, multiplier, axis=-1) if multiplier > 1 else np.ascontiguousarray(x)
        linear.depthwise(spread, weights, slide.before, steps, zero_point, rule, y)
        return (y,)

    return run


def _int16(slide: Windows, filters: np.ndarray, multiplier: int, rule: fused.WideRescale) -> Kernel:
    by_position = filters.reshape(-1, filters.shape[-1]).astype(np.float64)

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        padded = np.repeat(slide.pad(x, 0), multiplier, axis=-1)
        y, total = (np.zeros((len(x), *slide.out, filters.shape[-1]), dtype) for dtype in (np.int16, np.float64))
        for tap, weight in zip(slide.taps(padded), by_position):
            total += tap * weight
        fused.requantize_wide(total.reshape(-1, filters.shape[-1]), rule, y.reshape(-1, filters.shape[-1]))
        return (y,)

    return run
