"""PRELU: ``x`` where it is positive, else ``a * x`` with a slope ``a`` that broadcasts. int8, all in float32 products:

    y = clip(MBQM(x - Zx, Sx / Sy) + Zy)                      where x >= Zx
    y = clip(MBQM((x - Zx) * (a - Za), Sx * Sa / Sy) + Zy)    elsewhere

Source: TensorFlow Lite, ``reference_ops::BroadcastPrelu4DSlow``. Differs from it in refusing slopes computed at run
time.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import (
    INT8_HIGH,
    INT8_LOW,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)
from tflite_export.interpreter.elementwise import guarded, requantized_codes
from tflite_export.interpreter.operands import Kernel, affine, common_type, constant, output, refuse, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    x, slopes = required(op, tensors, 0), constant(op, tensors, 1)
    if np.broadcast_shapes(x.shape, slopes.shape) != tuple(x.shape):
        refuse(op, x, f"slopes of shape {slopes.shape} do not broadcast to it")
    if common_type(op, tensors, 0, 1) == "int8":
        return _int8(op, tensors, slopes)
    return lambda x, slopes: (np.where(x >= 0, x, x * slopes),)


def _int8(op: Op, tensors: Sequence[Tensor], slopes: np.ndarray) -> Kernel:
    (scale_in, zero_in), (scale_slope, zero_slope) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    scale, zero_point = affine(op, output(op, tensors))
    above = np.clip(requantized_codes(op, tensors, float(scale_in / scale)), INT8_LOW, INT8_HIGH).astype(np.int8)
    pair = quantize_multiplier(guarded(op, tensors, float(scale_in * scale_slope / scale)))
    offsets = slopes.astype(np.int64) - zero_slope

    def run(x: np.ndarray, _slopes: np.ndarray) -> tuple[np.ndarray]:
        products = (x.astype(np.int64) - zero_in) * offsets
        below = np.clip(multiply_by_quantized_multiplier(products, *pair) + zero_point, INT8_LOW, INT8_HIGH)
        return (np.where(x >= zero_in, above[x.view(np.uint8)], below.astype(np.int8)),)

    return run
