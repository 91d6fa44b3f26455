"""RSQRT: ``1 / sqrt(x)``. int8, with ``d = x - Zx`` > 0 and ``f`` a fixed-point inverse square root:

    y = clip(MBQM(f(d) * 2**20, 1 / (sqrt(Sx) * Sy) * 2**-20) + Zy),    y = 127 where d = 0

``1 / (sqrt(Sx) * Sy)`` has a float32 denominator; ``f`` is that of `inverse_root`. int16: straight pieces, see
`pieces`, and a negative code stops the run.

Source: TensorFlow Lite, ``elementwise.cc``. Differs from it in refusing an
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
from tflite_export.interpreter.elementwise import every_code, guarded, looked_up
from tflite_export.interpreter.inverse_root import inverse_square_root
from tflite_export.interpreter.operands import WIDE, Kernel, affine, common_type, output, refuse, required
from tflite_export.interpreter.tables import float_table
from tflite_export.ir import Op, Tensor

SPARE_BITS = 20


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    dtype = common_type(op, tensors, 0, types=WIDE)
    if dtype == "int16":
        return _int16(op, tensors)
    return looked_up(_table(op, tensors)) if dtype == "int8" else lambda x: (_float(x),)


def _int16(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    highest = np.float32(2**15 - 1) * affine(op, output(op, tensors))[0]
    table = float_table(op, tensors, lambda x: np.where(x <= 0, highest, _float(x)).astype(np.float32))

    def run(x: np.ndarray) -> tuple[np.ndarray]:
        if x.min(initial=0) < 0:
            refuse(op, required(op, tensors, 0), "expected no values below zero")
        return (table[x],)

    return run


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
    root, root_shift = inverse_square_root(distance)
    roots = multiply_by_quantized_multiplier(np.ones_like(root), root, root_shift + SPARE_BITS)
    codes = multiply_by_quantized_multiplier(roots, multiplier, shift - SPARE_BITS) + zero_point
    return np.where(distance == 0, INT8_HIGH, np.clip(codes, INT8_LOW, INT8_HIGH)).astype(np.int8)
