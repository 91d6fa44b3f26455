"""What the three ops with weights share: weights, bias, and the rescaling that the grids of all operands add up to.

    y = clip((sum((x - Zx) * w) + b) * Sx * Sw[o] / Sy + Zy)

``Zx * sum(w)`` is the same for every window, so it moves into the bias and the sum runs over raw codes;
int32 wraps, so moving it changes nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter import operands as of
from tflite_export.interpreter.operands import refuse, required
from tflite_export.ir import Op, Tensor


def weights(op: Op, tensors: Sequence[Tensor], rank: int, types: tuple[str, ...] = ("int8", "int4")) -> np.ndarray:
    """The constant weights: float32 if the input is, else of one of ``types``."""
    weight, expected = required(op, tensors, 1), types if of.common_type(op, tensors, 0) == "int8" else ("float32",)
    if weight.dtype not in expected:
        of.refuse_type(op, weight, " or ".join(expected))
    if len(weight.shape) != rank or 0 in weight.shape:
        refuse(op, weight, f"weights must have {rank} axes and no empty one")
    return of.constant(op, tensors, 1)


def real_multipliers(op: Op, tensors: Sequence[Tensor], channels: int) -> np.ndarray:
    """``Sx * Sw[o] / Sy`` in float64, shape (channels,)."""
    input_scale, _ = of.affine(op, required(op, tensors, 0))
    output_scale, _ = of.affine(op, of.output(op, tensors))
    scales = of.grid(op, required(op, tensors, 1)).scale
    if len(scales) not in (1, channels):
        refuse(op, required(op, tensors, 1), f"expected 1 or {channels} scales. Received: {len(scales)}")
    real = np.float64(input_scale) * scales.astype(np.float64) / np.float64(output_scale)
    return np.broadcast_to(real, (channels,))


def rescale(op: Op, tensors: Sequence[Tensor], sums: np.ndarray) -> fused.Rescale:
    """The fixed-point rule of a convolution; ``sums`` adds up the weights of each output channel."""
    weight, y = required(op, tensors, 1), of.output(op, tensors)
    if np.any(of.grid(op, weight).zero_point):
        refuse(op, weight, "weights must have zero point 0")
    real = real_multipliers(op, tensors, len(sums))
    if real.max() >= 2.0**30:
        refuse(op, y, f"the scale is too small for the accumulator: ratio {real.max():.3g} must be below 2**30")
    return fused.rescale_by(real, of.limits(op, tensors), folded_bias(op, tensors, sums))


def folded_bias(op: Op, tensors: Sequence[Tensor], sums: np.ndarray) -> np.ndarray:
    """``b - Zx * sums`` in int32, where ``sums`` adds up the weights of each output channel."""
    _, zero_point = of.affine(op, required(op, tensors, 0))
    bias = of.operand(op, tensors, 2)
    if bias is None:
        return (-zero_point * sums).astype(np.int32)
    if bias.dtype != "int32" or bias.data is None or bias.data.size != sums.size:
        refuse(op, bias, f"expected a constant int32 bias of {sums.size} entries")
    return (bias.data.reshape(-1).astype(np.int64) - zero_point * sums).astype(np.int32)
