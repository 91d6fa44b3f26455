"""HARD_SWISH: ``x * relu6(x + 3) / 6``. int8: a table, computed in 16-bit fixed point, with ``d = (x - Zx) * 2**7``.

    v = sat(d * r),        r ~ (Sx / 128) / (3 / 2**15), so that 2**15 stands for 3: saturation is the clip of relu6
    y = clip(RDPOT((v + 2**15) / 2 * (d * o) / 2**15, -e) + Zy),        o * 2**e ~ (Sx / 128) / Sy

Products are taken in Q15, ``d * r`` and ``d * o`` rounded, the last one truncated; both multipliers are cut to 16 bits.

Source: TensorFlow Lite, ``reference_ops::HardSwish``. Differs from it in refusing outputs so coarse that the last shift
exceeds 15 bits.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import (
    INT8_HIGH,
    INT8_LOW,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
)
from tflite_export.interpreter.elementwise import every_code, looked_up
from tflite_export.interpreter.operands import Kernel, affine, common_type, output, refuse, required
from tflite_export.ir import Op, Tensor

SPARE_BITS = 7
"""Left shift of the input, so that it fills 16 bits."""


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    if common_type(op, tensors, 0) == "int8":
        return looked_up(_table(op, tensors))
    return lambda x: (x * np.clip(x + np.float32(3), np.float32(0), np.float32(6)) / np.float32(6),)


def _table(op: Op, tensors: Sequence[Tensor]) -> np.ndarray:
    (scale_in, zero_in), (scale, zero_point) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    fine = np.float32(1 / 128) * scale_in
    outer, right = _pair16(float(fine / scale))
    inner, left = _pair16(float(fine / np.float32(3 / 32768)))
    if not -15 <= right <= 0 or left > 15:
        refuse(op, output(op, tensors), f"its scale over 1/128 of {scale_in} must lie in [1, 2**15]. Received: {scale}")
    x = (every_code("int8") - zero_in) << SPARE_BITS
    gate = _shifted_product(x, inner, left)
    product = _truncated(((gate + (1 << 15)) >> 1) * _rounded(x * outer))
    codes = rounding_divide_by_power_of_two(product, -right) + zero_point
    return np.clip(codes, INT8_LOW, INT8_HIGH).astype(np.int8)


def _pair16(real: float) -> tuple[int, int]:
    """A fixed-point pair whose multiplier has 16 bits."""
    multiplier, shift = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1), shift


def _shifted_product(x: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """``sat(x * multiplier * 2**(shift - 15))``; a shift to the left is done in two steps, rounding in between."""
    if shift <= 0:
        return rounding_divide_by_power_of_two(_rounded(x * multiplier), min(-shift, 31))
    return _saturated(_rounded(_saturated(x << (shift - 1)) * multiplier) << 1)


def _saturated(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(2**15), 2**15 - 1)


def _rounded(product: np.ndarray) -> np.ndarray:
    """``product / 2**15``, halves up."""
    return _truncated(product + np.where(product >= 0, 1 << 14, 1 - (1 << 14)))


def _truncated(product: np.ndarray) -> np.ndarray:
    """``product / 2**15`` towards zero."""
    return np.sign(product) * (np.abs(product) >> 15)
