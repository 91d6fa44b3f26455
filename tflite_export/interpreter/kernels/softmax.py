"""SOFTMAX over the last axis: ``exp(beta * x) / sum(exp(beta * x))``. int8: fixed point on the grid 1/256, -128.

With ``d = x - max(x)``, a number between -255 and 0, and Qn.m fixed point with n integer and m fractional bits:

    e = exp(beta * Sx * d)       Q0.31, from a table over d, 0 below d_min
    r = 1 / sum(e)               the sum in Q12.19, scaled to [1, 2), inverted by three Newton steps
    y = clip(e * r) - 128        in units of 1/256

int16: grid 1/32768, 0, and ``exp`` and ``1 / (1 + x)`` from tables of 512 straight pieces (`_wide`).

Source: TensorFlow Lite, ``reference_ops::Softmax`` on gemmlowp's ``fixedpoint.h``. Differs from it where the source
ends the process: scales that it cannot take are refused; rows so flat that ``sum(e)`` reaches 512 go on by the
equations, since that is a matter of the data and other kernels compute them.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fixed_point, pieces
from tflite_export.interpreter.arithmetic import (
    INT8_HIGH,
    INT8_LOW,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_mul,
)
from tflite_export.interpreter.operands import WIDE, Kernel, affine, common_type, output, refuse, required
from tflite_export.ir import Op, Tensor

SUM_INTEGER_BITS = 12


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    beta = np.float32(op.options.get("beta", 0.0))
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype != "float32":
        return (_int8 if dtype == "int8" else _int16)(op, tensors, beta)
    return lambda x: (_float(x, beta),)


def _float(x: np.ndarray, beta: np.float32) -> np.ndarray:
    e = np.exp((x - x.max(-1, keepdims=True)) * beta)
    return e / e.sum(-1, keepdims=True)


def _int8(op: Op, tensors: Sequence[Tensor], beta: np.float32) -> Kernel:
    x, y = required(op, tensors, 0), output(op, tensors)
    if affine(op, y) != (np.float32(1 / 256), INT8_LOW):
        refuse(op, y, "expected scale 1/256 and zero point -128")
    exponentials = _exponentials(op, x, np.float64(beta) * np.float64(affine(op, x)[0]))
    addends = rounding_divide_by_power_of_two(exponentials, SUM_INTEGER_BITS)

    def run(x: np.ndarray) -> tuple[np.ndarray]:
        distance = x.max(-1, keepdims=True).astype(np.int16) - x
        total = addends[distance].sum(-1, keepdims=True)
        reciprocal, over_unit = fixed_point.reciprocal(total, SUM_INTEGER_BITS)
        share = saturating_rounding_doubling_high_mul(reciprocal, exponentials[distance])
        codes = rounding_divide_by_power_of_two(share, over_unit + 31 - 8) + INT8_LOW
        return (np.clip(codes, INT8_LOW, INT8_HIGH).astype(np.int8),)

    return run


def _exponentials(op: Op, x: Tensor, real: float) -> np.ndarray:
    """``exp(real * -distance)`` in Q0.31 for distances 0 to 255, int64; 0 where the source skips the element."""
    multiplier, shift = quantize_multiplier(min(real * 2.0**26, 2.0**31 - 1))
    if not real * 2.0**26 > 1:
        refuse(op, x, f"beta times scale must be over 2**-26. Received: {real:.3g}. Calibrate with live activations")
    farthest = (31 << 26) >> shift
    distance = np.arange(256, dtype=np.int64)
    scaled = saturating_rounding_doubling_high_mul(-np.minimum(distance, farthest) << shift, multiplier)
    return np.where(distance <= farthest, fixed_point.exp_on_negative(scaled), 0)


def _int16(op: Op, tensors: Sequence[Tensor], beta: np.float32) -> Kernel:
    """``e = exp(-10 d)`` and ``r = 1 / (1 + x)`` by `pieces`; ``y = (e * r) >> shift``, rounded half up."""
    x, y = required(op, tensors, 0), output(op, tensors)
    if affine(op, y) != (np.float32(1 / 32768), 0):
        refuse(op, y, "expected scale 1/32768 and zero point 0")
    real = np.float64(affine(op, x)[0] * beta) / (10.0 / 65535.0)
    if not 0 < real < 2.0**14:
        refuse(op, x, f"beta times scale must lie between 0 and 2.5. Received: {float(affine(op, x)[0] * beta):.3g}")
    pair = quantize_multiplier(real)

    def run(x: np.ndarray) -> tuple[np.ndarray]:
        distance = x.astype(np.int64) - x.max(-1, keepdims=True)
        scaled = multiply_by_quantized_multiplier(distance, *pair) + 32767
        e = pieces.interpolate(np.clip(scaled, -32768, 32767), pieces.EXP)
        total = e.sum(-1, keepdims=True)
        headroom = 31 - np.floor(np.log2(total)).astype(np.int64)
        fraction = ((total << (headroom - 1)) + (1 << 13)) >> 14
        r = pieces.interpolate(np.clip(fraction - (1 << 15) - (1 << 16), -32768, 32767), pieces.RECIPROCAL)
        codes = (e * r + (np.int64(1) << (30 - headroom))) >> (31 - headroom)
        return (np.clip(codes, 0, 32767).astype(np.int16),)

    return run
