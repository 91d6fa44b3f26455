"""FULLY_CONNECTED: ``y[n, o] = sum(x[n, k] * w[o, k]) + b[o]``, weights (O, K).

int8: ``y = clip(round((sum((x - Zx) * (w - Zw)) + b) * (Sx * Sw[o] / Sy)) + Zy)``. The reference kernel rescales in
float64, not in fixed point as the convolutions do; halves round away from zero. ``Zw`` counts only for weights
quantised as a whole and is ignored if there is a scale per channel.

Source: TensorFlow Lite, ``reference_integer_ops::FullyConnected`` and ``FullyConnectedPerChannel``, the overloads with
float scales. Differs from it in the order of the (exact) sum.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.operands import (
    Kernel,
    activation,
    constant,
    limits,
    output,
    refuse,
    refuse_type,
    required,
)
from tflite_export.interpreter.product import ExactProduct
from tflite_export.interpreter.weighted import folded_bias, real_multipliers, weight_codes
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, or int8 with int8, int4 or int2 weights; with or without a bias and ``keep_num_dims``."""
    x, weights = required(op, tensors, 0), constant(op, tensors, 1)
    length = weights.shape[-1]
    keep = op.options.get("keep_num_dims", False)
    if weights.ndim != 2 or (x.shape[-1] if keep else int(np.prod(x.shape))) % length:
        refuse(op, x, f"does not divide into rows for weights of shape {weights.shape}")
    if op.options.get("weights_format", "DEFAULT") != "DEFAULT":
        refuse(op, required(op, tensors, 1), "shuffled weights are not supported. Store them in the default format")
    if x.dtype == "float32":
        return _float(weights, keep, activation(op, tensors))
    if x.dtype == "int8":
        return _int8(op, tensors, keep)
    refuse_type(op, x, "float32 or int8")


def _float(weights: np.ndarray, keep: bool, activation: str) -> Kernel:
    def run(x: np.ndarray, _weights: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray]:
        y = x.reshape(-1, weights.shape[1]) @ weights.T
        return (activate(y if bias is None else y + bias, activation).reshape(_shape(x, y, keep)),)

    return run


def _int8(op: Op, tensors: Sequence[Tensor], keep: bool) -> Kernel:
    codes = weight_codes(op, tensors, ("int8", "int4", "int2")).astype(np.int64)
    grid = required(op, tensors, 1).quantization
    weights = codes - grid.zero_point[0] if len(grid.scale) == 1 else codes
    bias, real = folded_bias(op, tensors, weights.sum(1)), real_multipliers(op, tensors, len(weights))
    _guard(op, tensors, np.abs(weights).sum(1), bias, real)
    product, clip = ExactProduct(weights.T), limits(op, tensors)

    def run(x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray]:
        rows = x.reshape(-1, weights.shape[1]).astype(np.float32)
        y = np.empty((len(rows), len(weights)), np.int8)
        fused.requantize_double(product(rows), bias, real, clip, y)
        return (y.reshape(_shape(x, y, keep)),)

    return run


def _shape(x: np.ndarray, y: np.ndarray, keep: bool) -> tuple[int, ...]:
    return (*x.shape[:-1], y.shape[-1]) if keep else y.shape


def _guard(op: Op, tensors: Sequence[Tensor], sums: np.ndarray, bias: np.ndarray, real: np.ndarray) -> None:
    """Refuses scales for which the kernel's cast of a float64 to int32 would be undefined."""
    if np.any((128 * sums + np.abs(bias.astype(np.int64))) * real >= 2.0**31 - 256):
        refuse(op, output(op, tensors), f"the scale is too small for the accumulator. Received: ratio {real.max():.3g}")
