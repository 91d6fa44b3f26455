"""FULLY_CONNECTED: ``y[n, o] = sum(x[n, k] * w[o, k]) + b[o]``, weights (O, K).

int8: ``y = clip(round((sum((x - Zx) * (w - Zw)) + b) * (Sx * Sw[o] / Sy)) + Zy)``. The reference kernel rescales in
float64, not in fixed point as the convolutions do; halves round away from zero. ``Zw`` counts only for weights
quantised as a whole and is ignored if there is a scale per channel. int16: the same with ``Zx = Zy = 0`` and sums in
int64, or in int32 if the bias is.

Source: TensorFlow Lite, ``reference_integer_ops::FullyConnected`` and ``FullyConnectedPerChannel``, the overloads with
float scales. Differs from it in the order of the (exact) sum.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.operands import (
    WIDE,
    Kernel,
    activation,
    common_type,
    expect_shape,
    grid,
    limits,
    output,
    refuse,
    required,
)
from tflite_export.interpreter.product import ExactProduct, WideProduct
from tflite_export.interpreter.weighted import folded_bias, real_multipliers, weights, wide_bias
from tflite_export.ir import Op, Tensor

UNPACKED = {"float32": ("float32",), "int8": ("int8", "int4", "int2"), "int16": ("int8", "int4")}
"""Type of the input -> the types of its weights."""


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, or integers with narrower weights; with or without a bias and ``keep_num_dims``."""
    x, matrix = required(op, tensors, 0), weights(op, tensors, 2, UNPACKED)
    keep = op.options.get("keep_num_dims", False)
    if not x.shape or (x.shape[-1] if keep else int(np.prod(x.shape))) % matrix.shape[1]:
        refuse(op, x, f"does not divide into rows for weights of shape {matrix.shape}")
    if op.options.get("weights_format", "DEFAULT") != "DEFAULT":
        refuse(op, required(op, tensors, 1), "shuffled weights are not supported. Store them in the default format")
    rows = (int(np.prod(x.shape)) // matrix.shape[1],)
    expect_shape(op, tensors, (*(x.shape[:-1] if keep else rows), len(matrix)))
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype != "float32":
        return (_int8 if dtype == "int8" else _int16)(op, tensors, matrix, keep)
    return _float(matrix, keep, activation(op, tensors))


def _float(matrix: np.ndarray, keep: bool, activation: str) -> Kernel:
    def run(x: np.ndarray, _weights: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray]:
        y = x.reshape(-1, matrix.shape[1]) @ matrix.T
        return (activate(y if bias is None else y + bias, activation).reshape(_shape(x, y, keep)),)

    return run


def _int8(op: Op, tensors: Sequence[Tensor], matrix: np.ndarray, keep: bool) -> Kernel:
    on, product, clip = grid(op, required(op, tensors, 1)), ExactProduct(matrix.T), limits(op, tensors)
    zero = int(on.zero_point[0]) if len(on.scale) == 1 else 0
    centered = matrix.astype(np.int64) - zero
    bias, real = folded_bias(op, tensors, centered.sum(1)), real_multipliers(op, tensors, len(matrix))
    _guard(op, tensors, 128 * np.abs(centered).sum(1), bias, real)
    depth = matrix.shape[1]

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        rows = x.reshape(-1, depth)
        total = product(rows)
        if zero:
            total -= zero * rows.sum(1, dtype=np.int32, keepdims=True)
        y = np.empty(total.shape, np.int8)
        fused.requantize_double(total, bias, real, clip, y)
        return (y.reshape(_shape(x, y, keep)),)

    return run


def _int16(op: Op, tensors: Sequence[Tensor], matrix: np.ndarray, keep: bool) -> Kernel:
    if np.any(grid(op, required(op, tensors, 1)).zero_point):
        refuse(op, required(op, tensors, 1), "weights must have zero point 0 beside int16 inputs")
    bias, real = wide_bias(op, tensors, len(matrix)), real_multipliers(op, tensors, len(matrix))
    _guard(op, tensors, 2**15 * np.abs(matrix.astype(np.int64)).sum(1), bias, real)
    product, clip = WideProduct(matrix.T), limits(op, tensors)

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        total = product(x.reshape(-1, matrix.shape[1]))
        y = np.empty(total.shape, np.int16)
        if bias.dtype == np.int64:
            fused.requantize_double_wide(total, bias, real, clip, y)
        else:
            fused.requantize_double(total.astype(np.int64).astype(np.int32), bias, real, clip, y)
        return (y.reshape(_shape(x, y, keep)),)

    return run


def _shape(x: np.ndarray, y: np.ndarray, keep: bool) -> tuple[int, ...]:
    return (*x.shape[:-1], y.shape[-1]) if keep else y.shape


def _guard(op: Op, tensors: Sequence[Tensor], sums: np.ndarray, bias: np.ndarray, real: np.ndarray) -> None:
    """Refuses scales with which the largest ``sums`` leave int32, where the cast of the kernel is undefined."""
    if np.any((sums + np.abs(bias.astype(np.int64))) * real >= 2.0**31 - 256):
        refuse(op, output(op, tensors), f"the scale is too small for the accumulator. Received: ratio {real.max():.3g}")
