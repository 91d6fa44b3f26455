"""Results for every code of ops whose kernels compute them in float32."""

from collections.abc import Callable, Sequence

import numpy as np

from tflite_export.interpreter import pieces
from tflite_export.interpreter.arithmetic import INT8_HIGH, INT8_LOW, round_half_away
from tflite_export.interpreter.elementwise import every_code
from tflite_export.interpreter.operands import affine, output, refuse, required
from tflite_export.ir import Op, Tensor


def float_table(op: Op, tensors: Sequence[Tensor], function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``clip(round(function(Sx * (x - Zx)) * (1 / Sy)) + Zy)``, all in float32, for every int8 code.

    For int16 codes by straight pieces, see `pieces`.
    """
    if output(op, tensors).dtype == "int16":
        return _by_pieces(op, tensors, function)
    (scale_in, zero_in), (scale, zero_point) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    with np.errstate(over="ignore"):
        steps = function(scale_in * (every_code("int8") - zero_in).astype(np.float32)) * (np.float32(1) / scale)
    if not np.all(np.abs(steps) < 2.0**31 - 256):
        refuse(op, output(op, tensors), f"the scale is too small for what the function delivers. Received: {scale}")
    return np.clip(round_half_away(steps) + zero_point, INT8_LOW, INT8_HIGH).astype(np.int8)


def _by_pieces(op: Op, tensors: Sequence[Tensor], function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    (scale_in, _), (scale, _) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    lowest, highest = np.float32(pieces.LOW), np.float32(pieces.HIGH)
    with np.errstate(over="ignore", invalid="ignore"):
        unit = np.float32(pieces.HIGH - pieces.LOW + 1) / (scale * highest - scale * lowest)
        values = pieces.table(function, scale_in * lowest, scale_in * highest, unit)
    return pieces.interpolate(every_code("int16"), values).astype(np.int16)
