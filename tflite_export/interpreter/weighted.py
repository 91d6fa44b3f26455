"""What the three ops with weights share: weights, bias, and the rescaling that the grids of all operands add up to.

    y = clip((sum((x - Zx) * w) + b) * Sx * Sw[o] / Sy + Zy)

``Zx * sum(w)`` is the same for every window, so it moves into the bias and the sum runs over raw codes;
int32 wraps, so moving it changes nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter import operands as of
from tflite_export.interpreter.operands import refuse, required
from tflite_export.ir import Op, Tensor

UNPACKED = {"float32": ("float32",), "int8": ("int8", "int4"), "int16": ("int8",)}
"""Type of a convolution's input -> the types of its filters."""


def weights(
    op: Op, tensors: Sequence[Tensor], rank: int, types: Mapping[str, tuple[str, ...]] = UNPACKED
) -> np.ndarray:
    """The constant weights, of one of the ``types`` that go with the type of the input."""
    weight, expected = required(op, tensors, 1), types[of.common_type(op, tensors, 0, types=of.WIDE)]
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


def rescale_wide(op: Op, tensors: Sequence[Tensor], channels: int) -> fused.WideRescale:
    """The fixed-point rule of a convolution of int16 with an int64 bias."""
    weight, y = required(op, tensors, 1), of.output(op, tensors)
    if np.any(of.grid(op, weight).zero_point):
        refuse(op, weight, "weights must have zero point 0")
    real = real_multipliers(op, tensors, channels)
    if real.max() >= 2.0**7:
        refuse(op, y, f"the scale is too small for the accumulator: ratio {real.max():.3g} must be below 2**7")
    return fused.rescale_wide(real, of.limits(op, tensors), wide_bias(op, tensors, channels))


def wide_bias(op: Op, tensors: Sequence[Tensor], channels: int) -> np.ndarray:
    """The bias of an op on int16: int64, or int32 if the op says so, without which LiteRT would read past its end."""
    bias = of.operand(op, tensors, 2)
    if bias is None:
        return np.zeros(channels, np.int64)
    declared = op.options.get("quantized_bias_type", "float32")
    expected = declared if declared != "float32" else "int64"
    if bias.dtype not in ("int32", "int64") or bias.dtype != expected:
        refuse(op, bias, f"expected a bias of type {expected}, as quantized_bias_type is {declared}")
    if bias.data is None or bias.data.size != channels:
        refuse(op, bias, f"expected a constant bias of {channels} entries")
    if np.any(np.abs(bias.data.astype(np.float64)) >= 2.0**46):
        refuse(op, bias, "a bias of 2**46 or more leaves no room for the products")
    return bias.data.reshape(-1)


def folded_bias(op: Op, tensors: Sequence[Tensor], sums: np.ndarray) -> np.ndarray:
    """``b - Zx * sums`` in int32, where ``sums`` adds up the weights of each output channel."""
    _, zero_point = of.affine(op, required(op, tensors, 0))
    bias = of.operand(op, tensors, 2)
    if bias is None:
        return (-zero_point * sums).astype(np.int32)
    if bias.dtype != "int32" or bias.data is None or bias.data.size != sums.size:
        refuse(op, bias, f"expected a constant int32 bias of {sums.size} entries")
    return (bias.data.reshape(-1).astype(np.int64) - zero_point * sums).astype(np.int32)
