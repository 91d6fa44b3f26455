"""CONV_2D: ``y[n, i, j, o] = sum(x[n, window, c] * w[o, window, c]) + b[o]``, filters (O, kh, kw, C / groups).

int8: ``y = clip(MBQM(sum((x - Zx) * w) + b, Sx * Sw[o] / Sy) + Zy)``, the real multiplier in float64. Padding counts
as zero, that is as the code ``Zx``. int16: ``Zx = Zy = 0``, sums in int64 and ``MBQM64``, or as int8 if the bias is
int32.

Source: TensorFlow Lite, ``reference_integer_ops::ConvPerChannel``. Differs from it in the order of the (exact) sum.
"""

from collections.abc import Callable, Sequence

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
    operand,
    refuse,
    required,
)
from tflite_export.interpreter.product import WideProduct
from tflite_export.interpreter.weighted import rescale, rescale_wide, weights, wide_bias
from tflite_export.interpreter.windows import Windows, windows
from tflite_export.ir import Op, Tensor

Product = Callable[[np.ndarray], np.ndarray]


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 with int8 or int4 filters, int16 with int8 filters; grouped, strided, dilated."""
    x, filters = required(op, tensors, 0), weights(op, tensors, rank=4)
    channels, height, width, depth = filters.shape
    slide = windows(op, x, (height, width))
    if x.shape[3] % depth or channels % (x.shape[3] // depth):
        refuse(op, x, f"channels do not split into groups for filters of shape {filters.shape}")
    matrices = [part.reshape(len(part), -1).T for part in np.split(filters, x.shape[3] // depth)]
    expect_shape(op, tensors, (x.shape[0], *slide.out, channels))
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype == "float32":
        return _float(slide, matrices, activation(op, tensors))
    if operand(op, tensors, 2) is None:
        refuse(op, required(op, tensors, 1), "LiteRT demands a bias of a quantised convolution. Add one of zeros")
    if dtype == "int16":
        return _int16(op, tensors, slide, matrices)
    rule = rescale(op, tensors, filters.sum((1, 2, 3), dtype=np.int64))
    return _int8(slide, matrices, affine(op, x)[1], rule)


def _float(slide: Windows, matrices: list[np.ndarray], activation: str) -> Kernel:
    products = [lambda rows, matrix=matrix: rows @ matrix for matrix in matrices]
    channels = sum(matrix.shape[1] for matrix in matrices)

    def run(x: np.ndarray, _filters: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray]:
        y = np.empty((len(x), *slide.out, channels), np.float32)
        for images, rows, patches in slide.blocks(slide.pad(x, 0.0)):
            y[images, rows] = _accumulate(products, patches).reshape(y[images, rows].shape)
        return (activate(y if bias is None else y + bias, activation),)

    return run


def _int8(slide: Windows, matrices: list[np.ndarray], zero_point: int, rule: fused.Rescale) -> Kernel:
    groups, outputs = len(matrices), matrices[0].shape[1]
    rule = linear.raised(rule, np.concatenate(matrices, 1))
    parts = [(linear.panels(matrix), rule.part(k * outputs, outputs)) for k, matrix in enumerate(matrices)]

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty((len(x), *slide.out, groups * outputs), np.int8)
        if groups == 1 and slide.pointwise:
            linear.multiply(np.ascontiguousarray(x).reshape(-1, x.shape[3]), *parts[0], y.reshape(-1, outputs))
            return (y,)
        padded, depth = np.ascontiguousarray(slide.pad(x, zero_point)), x.shape[3] // groups
        for k, (matrix, own) in enumerate(parts):
            seen = slide.pieces(x.shape[3], k * depth, depth)
            linear.convolve(padded.reshape(*padded.shape[:2], -1), matrix, *seen, k * outputs, own, y)
        return (y,)

    return run


def _int16(op: Op, tensors: Sequence[Tensor], slide: Windows, matrices: list[np.ndarray]) -> Kernel:
    products, channels = [WideProduct(matrix) for matrix in matrices], sum(matrix.shape[1] for matrix in matrices)
    bias, wide = wide_bias(op, tensors, channels), None
    if bias.dtype == np.int64:
        wide = rescale_wide(op, tensors, channels)
    else:
        rule = rescale(op, tensors, np.zeros(channels, np.int64))

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty((len(x), *slide.out, channels), np.int16)
        for images, rows, patches in slide.blocks(slide.pad(x, 0)):
            total, part = _accumulate(products, patches), y[images, rows].reshape(-1, channels)
            if wide:
                fused.requantize_wide(total, wide, part)
            else:
                fused.requantize(total.astype(np.int64).astype(np.int32), rule, part)
        return (y,)

    return run


def _accumulate(products: Sequence[Product], patches: np.ndarray) -> np.ndarray:
    """Each group's product with its own channels of ``patches`` (windows, positions, C): (windows, O)."""
    if len(products) == 1:
        return products[0](patches.reshape(len(patches), -1))
    parts = np.split(patches, len(products), axis=-1)
    return np.concatenate([product(part.reshape(len(part), -1)) for product, part in zip(products, parts)], axis=-1)
