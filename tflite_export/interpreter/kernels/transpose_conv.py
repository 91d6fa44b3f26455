"""TRANSPOSE_CONV: each input pixel adds its multiple of the filter to a window of the output. Filters (O, kh, kw, C).

    y[n, s i + u - p, s j + v - q, o] = sum(x[n, i, j, c] * w[o, u, v, c]) + b[o]

``p`` and ``q`` are the padding with which a convolution of that stride would lead from ``y`` to ``x``. int8:
``y = clip(MBQM(sum((x - Zx) * w) + b, Sx * Sw[o] / Sy) + Zy)``, the real multiplier in float64. The inputs are the
constant shape of the output, the filters, ``x`` and the bias. int16: as CONV_2D has it.

Source: TensorFlow Lite, ``reference_integer_ops::TransposeConv``. Differs from it in the order of the (exact) sum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.operands import (
    WIDE,
    Kernel,
    activation,
    affine,
    common_type,
    integers,
    operand,
    output,
    refuse,
    required,
)
from tflite_export.interpreter.product import ExactProduct, WideProduct
from tflite_export.interpreter.weighted import rescale, rescale_wide, weights, wide_bias
from tflite_export.interpreter.windows import Windows, windows
from tflite_export.ir import Op, Tensor

TYPES = {"float32": ("float32",), "int8": ("int8",), "int16": ("int8",)}
"""Type of the input -> the types of its filters."""


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, or int8 or int16 with int8 filters."""
    shape, y, _ = integers(op, tensors, 0), output(op, tensors), required(op, tensors, 2)
    straight = replace(op, inputs=(op.inputs[2], op.inputs[1], *op.inputs[3:]))
    dtype, x = common_type(straight, tensors, 0, types=WIDE), required(straight, tensors, 0)
    filters = weights(straight, tensors, 4, TYPES)
    channels, height, width, depth = filters.shape
    slide = windows(straight, y, (height, width))
    expected = (len(shape) == 4 and tuple(shape[1:]) == tuple(y.shape[1:])) and x.shape[1:] == (*slide.out, depth)
    if not expected or y.shape[3] != channels:
        refuse(op, y, f"no such convolution leads to {x.shape} from {shape} by filters of shape {filters.shape}")
    if dtype == "float32":
        return _float(_Scatter(slide, filters.shape, y.shape), filters, activation(op, tensors))
    if operand(straight, tensors, 2) is None:
        refuse(op, x, "a quantised transposed convolution must have a bias. Add one of zeros")
    if dtype == "int16" and wide_bias(straight, tensors, channels).dtype == np.int64:
        return _int16(_Scatter(slide, filters.shape, y.shape), filters, rescale_wide(straight, tensors, channels))
    rule = rescale(straight, tensors, np.zeros(channels, np.int64))
    if dtype == "int16":
        return _int16(_Scatter(slide, filters.shape, y.shape), filters, rule)
    return _int8(_Scatter(slide, filters.shape, y.shape), filters, affine(op, x)[1], rule)


@dataclass(frozen=True)
class _Scatter:
    """Where the product of an input pixel and a filter goes: ``slide`` leads over the output, as a convolution."""

    slide: Windows
    filters: tuple[int, ...]
    output: tuple[int, ...]

    def __call__(self, x: np.ndarray, product: Callable[[np.ndarray], np.ndarray], dtype: type) -> np.ndarray:
        """Sums, without bias, of what all pixels of ``x`` add to the output; ``product`` is with all of the filters."""
        channels, height, width, depth = self.filters
        parts = product(x.reshape(-1, depth)).reshape(*x.shape[:3], channels, height * width)
        (top, left), (bottom, right) = self.slide.before, self.slide.after
        rows, columns = self.output[1:3]
        full: np.ndarray = np.zeros((len(x), top + rows + bottom, left + columns + right, channels), dtype)
        for position, window in enumerate(self.slide.taps(full)):
            window += parts[..., position]
        return np.ascontiguousarray(full[:, top : top + rows, left : left + columns])


def _float(scatter: _Scatter, filters: np.ndarray, activation: str) -> Kernel:
    matrix = filters.reshape(-1, filters.shape[3]).T

    def run(
        _shape: np.ndarray, _filters: np.ndarray, x: np.ndarray, bias: np.ndarray | None = None
    ) -> tuple[np.ndarray]:
        y = scatter(x, lambda rows: rows @ matrix, np.float32)
        return (activate(y if bias is None else y + bias, activation),)

    return run


def _int8(scatter: _Scatter, filters: np.ndarray, zero_point: int, rule: fused.Rescale) -> Kernel:
    product = ExactProduct(filters.reshape(-1, filters.shape[3]).T)
    correction = zero_point * filters.sum(3, dtype=np.int32).reshape(-1)

    def centered(rows: np.ndarray) -> np.ndarray:
        """``sum((x - Zx) * w)`` of the raw codes ``rows``."""
        return product(rows) - correction

    def run(_shape: np.ndarray, _filters: np.ndarray, x: np.ndarray, _bias: np.ndarray) -> tuple[np.ndarray]:
        total = scatter(x, centered, np.int32)
        y = np.empty(total.shape, np.int8)
        fused.requantize(total.reshape(-1, len(filters)), rule, y.reshape(-1, len(filters)))
        return (y,)

    return run


def _int16(scatter: _Scatter, filters: np.ndarray, rule: fused.Rescale | fused.WideRescale) -> Kernel:
    product = WideProduct(filters.reshape(-1, filters.shape[3]).T)

    def run(_shape: np.ndarray, _filters: np.ndarray, x: np.ndarray, _bias: np.ndarray) -> tuple[np.ndarray]:
        total = scatter(x, product, np.float64).reshape(-1, len(filters))
        y = np.empty(total.shape, np.int16)
        if isinstance(rule, fused.WideRescale):
            fused.requantize_wide(total, rule, y)
        else:
            fused.requantize(total.astype(np.int64).astype(np.int32), rule, y)
        return (y.reshape(-1, *scatter.output[1:]),)

    return run
