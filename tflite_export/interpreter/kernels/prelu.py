"""PRELU: ``x`` where it is positive, else ``a * x`` with a slope ``a`` that broadcasts. Integers, products in float32:

    y = clip(MBQM(x - Zx, Sx / Sy) + Zy)                      where x >= Zx
    y = clip(MBQM((x - Zx) * (a - Za), Sx * Sa / Sy) + Zy)    elsewhere

Source: TensorFlow Lite, ``reference_ops::BroadcastPrelu4DSlow``. Differs from it in refusing slopes computed at run
time.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import multiply_by_quantized_multiplier, quantize_multiplier
from tflite_export.interpreter.elementwise import guarded, requantized_codes
from tflite_export.interpreter.operands import (
    WIDE,
    Kernel,
    affine,
    common_type,
    constant,
    limits,
    output,
    refuse,
    refuse_type,
    required,
)
from tflite_export.ir import STORAGE, Op, Tensor

SLOPES = {"float32": "float32", "int8": "int8", "int16": "int8"}
"""Type of the input -> the type of its slopes."""


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8, or int16 with int8 slopes."""
    x, slopes = required(op, tensors, 0), constant(op, tensors, 1)
    if np.broadcast_shapes(x.shape, slopes.shape) != tuple(x.shape):
        refuse(op, x, f"slopes of shape {slopes.shape} do not broadcast to it")
    dtype, slope_type = common_type(op, tensors, 0, types=WIDE), required(op, tensors, 1).dtype
    if slope_type != SLOPES[dtype]:
        refuse_type(op, required(op, tensors, 1), SLOPES[dtype])
    if dtype != "float32":
        return _integer(op, tensors, slopes)
    return lambda x, slopes: (np.where(x >= 0, x, x * slopes),)


def _integer(op: Op, tensors: Sequence[Tensor], slopes: np.ndarray) -> Kernel:
    (scale_in, zero_in), (scale_slope, zero_slope) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    scale, zero_point = affine(op, output(op, tensors))
    (_, low, high), dtype = limits(op, tensors, "NONE"), STORAGE[output(op, tensors).dtype]
    above = np.clip(requantized_codes(op, tensors, float(scale_in / scale)), low, high).astype(dtype)
    pair = quantize_multiplier(guarded(op, tensors, float(scale_in * scale_slope / scale)))
    offsets, places = slopes.astype(np.int64) - zero_slope, np.uint8 if len(above) == 256 else np.uint16

    def run(x: np.ndarray, _slopes: np.ndarray) -> tuple[np.ndarray]:
        products = (x.astype(np.int64) - zero_in) * offsets
        below = np.clip(multiply_by_quantized_multiplier(products, *pair) + zero_point, low, high)
        return (np.where(x >= zero_in, above[x.view(places)], below.astype(dtype)),)

    return run
