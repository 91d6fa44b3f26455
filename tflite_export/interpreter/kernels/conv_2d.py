"""CONV_2D: ``y[n, i, j, o] = sum(x[n, window, c] * w[o, window, c]) + b[o]``, filters (O, kh, kw, C / groups).

int8: ``y = clip(MBQM(sum((x - Zx) * w) + b, Sx * Sw[o] / Sy) + Zy)``, the real multiplier in float64. Padding counts
as zero, that is as the code ``Zx``.

Source: TensorFlow Lite, ``reference_integer_ops::ConvPerChannel``. Differs from it in the order of the (exact) sum.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.operands import Kernel, activation, affine, common_type, operand, refuse, required
from tflite_export.interpreter.product import ExactProduct
from tflite_export.interpreter.weighted import rescale, weights
from tflite_export.interpreter.windows import Windows, windows
from tflite_export.ir import Op, Tensor

Product = Callable[[np.ndarray], np.ndarray]


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, or int8 with int8 or int4 filters; grouped, strided, dilated."""
    x, filters = required(op, tensors, 0), weights(op, tensors, rank=4)
    channels, height, width, depth = filters.shape
    slide = windows(op, x, (height, width))
    if x.shape[3] % depth or channels % (x.shape[3] // depth):
        refuse(op, x, f"channels do not split into groups for filters of shape {filters.shape}")
    matrices = [part.reshape(len(part), -1).T for part in np.split(filters, x.shape[3] // depth)]
    if common_type(op, tensors, 0) == "float32":
        return _float(slide, matrices, activation(op, tensors))
    if operand(op, tensors, 2) is None:
        refuse(op, required(op, tensors, 1), "LiteRT demands a bias of a quantised convolution. Add one of zeros")
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
    products = [ExactProduct(matrix) for matrix in matrices]
    channels = sum(matrix.shape[1] for matrix in matrices)

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty((len(x), *slide.out, channels), np.int8)
        for images, rows, patches in slide.blocks(slide.pad(x, zero_point)):
            fused.requantize(_accumulate(products, patches), rule, y[images, rows].reshape(-1, channels))
        return (y,)

    return run


def _accumulate(products: Sequence[Product], patches: np.ndarray) -> np.ndarray:
    """Each group's product with its own channels of ``patches`` (windows, positions, C): (windows, O)."""
    if len(products) == 1:
        return products[0](patches.reshape(len(patches), -1))
    parts = np.split(patches, len(products), axis=-1)
    return np.concatenate([product(part.reshape(len(part), -1)) for product, part in zip(products, parts)], axis=-1)
