"""RSQRT: ``1 / sqrt(x)``. int8, with ``d = x - Zx`` > 0 and ``f`` a fixed-point inverse square root:

    y = clip(MBQM(f(d) * 2**20, 1 / (sqrt(Sx) * Sy) * 2**-20) + Zy),    y = 127 where d = 0

``1 / (sqrt(Sx) * Sy)`` has a float32 denominator. ``f`` brings ``d`` to 29 bits and takes five Newton steps,
``r <- (3 r - d r**3) / 2``, in Q3.28.

Source: TensorFlow Lite, ``elementwise.cc`` and ``GetInvSqrtQuantizedMultiplierExp``. Differs from it in refusing an
input whose zero point is above -128: the source stops the run when it meets a negative value.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import (
    INT8_HIGH,
    INT8_LOW,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)
from tflite_export.interpreter.arithmetic import rounding_divide_by_power_of_two as divide
from tflite_export.interpreter.arithmetic import saturating_rounding_doubling_high_mul as multiply
from tflite_export.interpreter.elementwise import every_code, guarded, looked_up
from tflite_export.interpreter.fixed_point import constant, saturating_shift_left
from tflite_export.interpreter.operands import Kernel, affine, common_type, output, refuse, required
from tflite_export.ir import Op, Tensor

SPARE_BITS = 20
NEWTON_STEPS = 5


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    if common_type(op, tensors, 0) == "int8":
        return looked_up(_table(op, tensors))
    return lambda x: (_float(x),)


def _float(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):  # infinity at 0, and no number below
        return np.float32(1) / np.sqrt(x)


def _table(op: Op, tensors: Sequence[Tensor]) -> np.ndarray:
    x, (scale, zero_point) = required(op, tensors, 0), affine(op, output(op, tensors))
    scale_in, zero_in = affine(op, x)
    if zero_in != INT8_LOW:
        refuse(op, x, f"expected zero point -128, as for values that are never negative. Received: {zero_in}")
    multiplier, shift = quantize_multiplier(guarded(op, tensors, 1 / float(np.sqrt(scale_in) * scale)))
    distance = every_code("int8") - zero_in
    roots = np.array([_inverse_square_root(int(d)) for d in distance], np.int64)
    codes = multiply_by_quantized_multiplier(roots, multiplier, shift - SPARE_BITS) + zero_point
    return np.where(distance == 0, INT8_HIGH, np.clip(codes, INT8_LOW, INT8_HIGH)).astype(np.int8)


def _inverse_square_root(d: int) -> int:
    """``2**20 / sqrt(d)`` for 0 <= ``d`` < 2**29. ``GetInvSqrtQuantizedMultiplierExp``; 1 and 0 are special there."""
    if d <= 1:
        return int(multiply_by_quantized_multiplier(np.array(1), 2**31 - 1, SPARE_BITS))
    pairs = (32 - d.bit_length() - 1) // 2 - 1
    x, root = np.array(d << 2 * pairs >> 1), np.array(constant(1.0, 3))
    half, three_halves = divide(x, 1), np.array(constant(1.5, 3))
    for _ in range(NEWTON_STEPS):
        cube = saturating_shift_left(multiply(multiply(root, root), root), 6)
        root = saturating_shift_left(multiply(three_halves, root) - multiply(half, cube), 3)
    shift = 11 - pairs
    root = multiply(root, constant(float(np.sqrt(0.5)))) << max(-shift, 0)
    return int(multiply_by_quantized_multiplier(np.array(1), root, SPARE_BITS - max(shift, 0)))
