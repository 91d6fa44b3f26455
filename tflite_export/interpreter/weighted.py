"""What the three ops with weights share: grids of input, weights, bias and output, turned into one rule.

    y = clip((sum((x - Zx) * w) + b) * Sx * Sw[o] / Sy + Zy)

``Zx * sum(w)`` is the same for every window, so it moves into the bias and the sum runs over raw codes;
int32 wraps, so moving it changes nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import arithmetic
from tflite_export.interpreter.operands import affine, limits, operand, output, refuse, refuse_type, required
from tflite_export.ir import Op, Tensor


def weight_codes(op: Op, tensors: Sequence[Tensor], types: tuple[str, ...] = ("int8", "int4")) -> np.ndarray:
    """The integer weights, checked to be of one of ``types`` and symmetric."""
    weight = required(op, tensors, 1)
    if weight.dtype not in types:
        refuse_type(op, weight, " or ".join(types))
    if weight.quantization is None or weight.data is None:
        refuse(op, weight, "expected constant weights with scales")
    return weight.data


def real_multipliers(op: Op, tensors: Sequence[Tensor], channels: int) -> np.ndarray:
    """``Sx * Sw[o] / Sy`` in float64, shape (channels,)."""
    weight, y = required(op, tensors, 1), output(op, tensors)
    input_scale, _ = affine(op, required(op, tensors, 0))
    output_scale, _ = affine(op, y)
    scales = weight.quantization.scale
    if len(scales) not in (1, channels) or not np.all((scales > 0) & np.isfinite(scales)):
        refuse(op, weight, f"expected 1 or {channels} positive scales. Received: {len(scales)}")
    real = np.float64(input_scale) * scales.astype(np.float64) / np.float64(output_scale)
    return np.broadcast_to(real, (channels,))


def rescale(op: Op, tensors: Sequence[Tensor], sums: np.ndarray) -> arithmetic.Rescale:
    """The fixed-point rule of a convolution; ``sums`` adds up the weights of each output channel."""
    weight, y = required(op, tensors, 1), output(op, tensors)
    if np.any(weight.quantization.zero_point):
        refuse(op, weight, "weights must have zero point 0")
    real = real_multipliers(op, tensors, len(sums))
    if real.max() >= 2.0**30:
        refuse(op, y, f"the scale is too small for the accumulator: ratio {real.max():.3g} must be below 2**30")
    return arithmetic.rescale_by(real, limits(op, tensors), folded_bias(op, tensors, sums))


def folded_bias(op: Op, tensors: Sequence[Tensor], sums: np.ndarray) -> np.ndarray:
    """``b - Zx * sums`` in int32, where ``sums`` adds up the weights of each output channel."""
    _, zero_point = affine(op, required(op, tensors, 0))
    bias = operand(op, tensors, 2)
    if bias is None:
        codes = np.zeros(sums.shape, np.int64)
    elif bias.dtype != "int32" or bias.data is None or bias.data.size != sums.size:
        refuse(op, bias, f"expected a constant int32 bias of {sums.size} entries")
    else:
        codes = bias.data.reshape(-1).astype(np.int64)
    return (codes - zero_point * sums).astype(np.int32)
