"""Elementwise int8 arithmetic that several ops share: broadcasting, tables, the scaled sum of ADD and SUB."""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import multiply_by_quantized_multiplier, quantize_multiplier
from tflite_export.interpreter.operands import Kernel, affine, limits, output, refuse, required
from tflite_export.ir import STORAGE, Op, Tensor

SPARE_BITS = 20
"""Left shift of the operands of an int8 ADD: their sums keep this many bits more."""


def flat(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``x`` broadcast to ``shape``, in one dimension."""
    return np.ascontiguousarray(x if x.shape == shape else np.broadcast_to(x, shape)).reshape(-1)


def every_code(dtype: str) -> np.ndarray:
    """The 256 codes of int8 or uint8 in the order of their bytes: a code modulo 256 is its place."""
    return np.arange(256).astype(STORAGE[dtype]).astype(np.int64)


def looked_up(table: np.ndarray) -> Kernel:
    """The kernel of an op of one 8-bit input, given its result for `every_code`."""
    return lambda x: (table[x.view(np.uint8)],)


def guarded(op: Op, tensors: Sequence[Tensor], real: float) -> float:
    """``real`` as float64, refused where its fixed-point shift would leave int32."""
    if not 0 < real < 2.0**30:
        refuse(op, output(op, tensors), f"the ratio of scales must lie between 0 and 2**30. Received: {real:.3g}")
    return float(real)


def requantized_codes(op: Op, tensors: Sequence[Tensor], real: float) -> np.ndarray:
    """``MBQM(x - Zx, real) + Zy`` for `every_code` of the input, not clipped yet, int64."""
    x = required(op, tensors, 0)
    (_, zero_in), (_, zero_out) = affine(op, x), affine(op, output(op, tensors))
    pair = quantize_multiplier(guarded(op, tensors, real))
    return multiply_by_quantized_multiplier(every_code(x.dtype) - zero_in, *pair) + zero_out


def rectified(op: Op, tensors: Sequence[Tensor], name: str) -> Kernel:
    """A stand-alone activation on int8: ``clip(MBQM(x - Zx, Sx / Sy) + Zy)``, the multiplier in float32."""
    (scale_in, _), (scale_out, _) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    codes = requantized_codes(op, tensors, float(scale_in / scale_out))
    return looked_up(np.clip(codes, *limits(op, tensors, name)[1:]).astype(np.int8))


def _shifted(real: np.float64, zero_point: int) -> np.ndarray:
    """``MBQM((x - zero_point) << 20, real)`` for `every_code`, int32."""
    codes = (every_code("int8") - zero_point) << SPARE_BITS
    return multiply_by_quantized_multiplier(codes, *quantize_multiplier(float(real))).astype(np.int32)


def scaled_sum(op: Op, tensors: Sequence[Tensor], sign: int) -> Kernel:
    """``a + sign * b`` on int8: see ``kernels/add.py`` for the equation."""
    (scale_a, zero_a), (scale_b, zero_b) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    scale, _ = affine(op, output(op, tensors))
    twice = np.float64(np.float32(2) * max(scale_a, scale_b))
    real = twice / np.float64(np.float32(1 << SPARE_BITS) * scale)
    if real >= 1:
        refuse(op, output(op, tensors), f"the output scale must be over {twice / 2**SPARE_BITS:.3g}. Received: {scale}")
    tables = _shifted(scale_a / twice, zero_a), sign * _shifted(scale_b / twice, zero_b)
    rule = fused.rescale_by(real, limits(op, tensors))

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty(np.broadcast_shapes(a.shape, b.shape), np.int8)
        fused.add(flat(a.view(np.uint8), y.shape), flat(b.view(np.uint8), y.shape), *tables, rule, y.reshape(-1))
        return (y,)

    return run
