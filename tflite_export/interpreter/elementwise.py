"""Elementwise integer arithmetic that several ops share: broadcasting, tables, the scaled sum of ADD and SUB."""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import (
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
)
from tflite_export.interpreter.operands import Kernel, affine, limits, output, refuse, required
from tflite_export.ir import STORAGE, Op, Tensor

SPARE_BITS, WIDE_SPARE_BITS = 20, 15
"""Left shift of the operands of an int8 or int16 ADD: their sums keep this many bits more."""


def flat(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``x`` broadcast to ``shape``, in one dimension."""
    return np.ascontiguousarray(x if x.shape == shape else np.broadcast_to(x, shape)).reshape(-1)


def every_code(dtype: str) -> np.ndarray:
    """All codes of an 8-bit or 16-bit type in the order of their bytes: a code modulo their number is its place."""
    return np.arange(256 ** np.dtype(STORAGE[dtype]).itemsize).astype(STORAGE[dtype]).astype(np.int64)


def looked_up(table: np.ndarray) -> Kernel:
    """The kernel of an op of one input, given its result for `every_code`."""
    places = np.uint8 if len(table) == 256 else np.uint16
    return lambda x: (table[x.view(places)],)


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
    """A stand-alone activation on integers: ``clip(MBQM(x - Zx, Sx / Sy) + Zy)``, the multiplier in float32."""
    (scale_in, _), (scale_out, _) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    codes = requantized_codes(op, tensors, float(scale_in / scale_out))
    return looked_up(np.clip(codes, *limits(op, tensors, name)[1:]).astype(STORAGE[output(op, tensors).dtype]))


def _shifted(real: np.float64, zero_point: int) -> fused.Rescale:
    """``MBQM((x - zero_point) << 20, real)``, which is all of int32."""
    ends = np.iinfo(np.int32)
    rule = fused.rescale_by(float(real), (0, ends.min, ends.max), -zero_point)
    rule.table[fused.LEFT] += SPARE_BITS
    return rule


def scaled_sum(op: Op, tensors: Sequence[Tensor], sign: int) -> Kernel:
    """``a + sign * b`` on integers: see ``kernels/add.py`` for the equation."""
    if output(op, tensors).dtype == "int16":
        return wide_sum(op, tensors, sign)
    (scale_a, zero_a), (scale_b, zero_b) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    scale, _ = affine(op, output(op, tensors))
    twice = np.float64(np.float32(2) * max(scale_a, scale_b))
    real = twice / np.float64(np.float32(1 << SPARE_BITS) * scale)
    if real >= 1:
        refuse(op, output(op, tensors), f"the output scale must be over {twice / 2**SPARE_BITS:.3g}. Received: {scale}")
    rule_a, rule_b = _shifted(scale_a / twice, zero_a), _shifted(scale_b / twice, zero_b)
    rule = fused.rescale_by(real, limits(op, tensors))

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty(np.broadcast_shapes(a.shape, b.shape), np.int8)
        fused.add(flat(a, y.shape), flat(b, y.shape), (rule_a, rule_b), np.int32(sign), rule, y.reshape(-1))
        return (y,)

    return run


def wide_sum(op: Op, tensors: Sequence[Tensor], sign: int) -> Kernel:
    """``a + sign * b`` on int16: as on int8, or by one shift where all steps are powers of two and the op says so."""
    scales = [affine(op, t)[0] for t in (required(op, tensors, 0), required(op, tensors, 1), output(op, tensors))]
    _, low, high = limits(op, tensors)
    if op.options.get("pot_scale_int16", True) and all(np.frexp(scale)[0] == 0.5 for scale in scales):
        return _shifted_sum(op, tensors, sign, scales)
    scale_a, scale_b, scale = scales
    twice = np.float64(np.float32(2) * max(scale_a, scale_b))
    real = twice / np.float64(np.float32(1 << WIDE_SPARE_BITS) * scale)
    if real >= 1 and sign > 0:
        least = twice / 2**WIDE_SPARE_BITS
        refuse(op, output(op, tensors), f"the output scale must be over {least:.3g}. Received: {scale}")
    pairs = [quantize_multiplier(guarded(op, tensors, r)) for r in (scale_a / twice, scale_b / twice, real)]

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        shifted = (x.astype(np.int64) << WIDE_SPARE_BITS for x in (a, b))
        scaled = [multiply_by_quantized_multiplier(x, *pair) for x, pair in zip(shifted, pairs)]
        codes = multiply_by_quantized_multiplier(scaled[0] + sign * scaled[1], *pairs[2])
        return (np.clip(codes, low, high).astype(np.int16),)

    return run


def _shifted_sum(op: Op, tensors: Sequence[Tensor], sign: int, scales: Sequence[np.float32]) -> Kernel:
    """``sat(RDPOT(a, e_a) + sign * RDPOT(b, e_b))``, where one operand has the step of the result."""
    exponents = [int(np.log2(scales[2] / scale)) for scale in scales[:2]]
    if min(exponents) != 0:
        wanted = "one input must have the scale of the output, the other none that is larger"
        refuse(op, output(op, tensors), f"{wanted}. Received: {scales}. Set pot_scale_int16 to False")
    if len({required(op, tensors, 0).shape, required(op, tensors, 1).shape, output(op, tensors).shape}) > 1:
        refuse(op, output(op, tensors), "LiteRT aborts on operands of different shapes. Set pot_scale_int16 to False")
    _, low, high = limits(op, tensors)

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        a, b = (rounding_divide_by_power_of_two(x.astype(np.int64), e) for x, e in zip((a, b), exponents))
        return (np.clip(a + sign * b, low, high).astype(np.int16),)

    return run
