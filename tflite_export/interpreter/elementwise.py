"""Elementwise int8 arithmetic that several ops share: broadcasting, tables, the scaled sum of ADD and SUB."""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import (
    CODES,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rescale_by,
)
from tflite_export.interpreter.operands import Kernel, affine, limits, output, refuse, refuse_type, required
from tflite_export.ir import Op, Tensor

SPARE_BITS = 20
"""Left shift of the operands of an int8 ADD: their sums keep this many bits more."""


def flat(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``x`` broadcast to ``shape``, in one dimension."""
    return np.ascontiguousarray(np.broadcast_to(x, shape)).reshape(-1)


def looked_up(values: np.ndarray) -> Kernel:
    """The kernel of an op of one int8 input: ``values`` has its result for every code, lowest first."""
    table = np.roll(values, -(len(values) // 2))  # the byte of a code is the code modulo 256
    return lambda x: (table[x.view(np.uint8)],)


def guarded(op: Op, tensors: Sequence[Tensor], real: float) -> float:
    """``real`` as float64, refused where its fixed-point shift would leave int32."""
    if not 0 < real < 2.0**30:
        refuse(op, output(op, tensors), f"the ratio of scales must lie between 0 and 2**30. Received: {real:.3g}")
    return float(real)


def requantized_codes(op: Op, tensors: Sequence[Tensor], real: float) -> np.ndarray:
    """``MBQM(x - Zx, real) + Zy`` for every int8 code ``x``, not clipped yet, int64 (256,)."""
    (_, zero_in), (_, zero_out) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    pair = quantize_multiplier(guarded(op, tensors, real))
    return multiply_by_quantized_multiplier(CODES - zero_in, *pair) + zero_out


def rectified(op: Op, tensors: Sequence[Tensor], name: str) -> Kernel:
    """A stand-alone activation on int8: ``clip(MBQM(x - Zx, Sx / Sy) + Zy)``, the multiplier in float32."""
    x, y = required(op, tensors, 0), output(op, tensors)
    if y.dtype != "int8":
        refuse_type(op, y, "int8")
    (scale_in, _), (scale_out, _) = affine(op, x), affine(op, y)
    codes = requantized_codes(op, tensors, scale_in / scale_out)
    return looked_up(np.clip(codes, *limits(op, tensors, name)[1:]).astype(np.int8))


def scaled_sum(op: Op, tensors: Sequence[Tensor], sign: int) -> Kernel:
    """``a + sign * b`` on int8: see ``kernels/add.py`` for the equation."""
    (scale_a, zero_a), (scale_b, zero_b) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    scale, _ = affine(op, output(op, tensors))
    twice = np.float64(np.float32(2) * max(scale_a, scale_b))
    real = twice / np.float64(np.float32(1 << SPARE_BITS) * scale)
    if real >= 1:
        refuse(op, output(op, tensors), f"the output scale must be over {twice / 2**SPARE_BITS:.3g}. Received: {scale}")
    table_a, table_b = (
        multiply_by_quantized_multiplier((CODES - zero) << SPARE_BITS, *quantize_multiplier(np.float64(s) / twice))
        for s, zero in ((scale_a, zero_a), (scale_b, zero_b))
    )
    tables = table_a.astype(np.int32), (sign * table_b).astype(np.int32)
    rule = rescale_by(real, limits(op, tensors))

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty(np.broadcast_shapes(a.shape, b.shape), np.int8)
        fused.add(flat(a, y.shape), flat(b, y.shape), *tables, rule, y.reshape(-1))
        return (y,)

    return run
