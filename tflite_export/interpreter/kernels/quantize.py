"""QUANTIZE: onto the grid of the output.

    float32:  y = clip(round(x / Sy) + Zy),           a float32 division, halves away from zero
    int8:     y = clip(MBQM(x - Zx, Sx / Sy) + Zy),   the multiplier in float64

Source: TensorFlow Lite, ``reference_ops::AffineQuantize`` and ``Requantize``. Differs from it in refusing float values
of 2**31 steps and more, NaN among them, whose cast to int32 C leaves undefined.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import INT8_HIGH, INT8_LOW, round_half_away
from tflite_export.interpreter.elementwise import looked_up, requantized_codes
from tflite_export.interpreter.operands import Kernel, affine, output, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8 to int8."""
    x, y = required(op, tensors, 0), output(op, tensors)
    if y.dtype != "int8":
        refuse_type(op, y, "int8")
    scale, zero_point = affine(op, y)
    if x.dtype == "float32":
        return _float(x.name, scale, zero_point)
    if x.dtype == "int8":
        real = np.float64(affine(op, x)[0]) / np.float64(scale)
        codes = requantized_codes(op, tensors, real)
        return looked_up(np.clip(codes, INT8_LOW, INT8_HIGH).astype(np.int8))
    refuse_type(op, x, "float32 or int8")


def _float(name: str, scale: np.float32, zero_point: int) -> Kernel:
    def run(x: np.ndarray) -> tuple[np.ndarray]:
        with np.errstate(over="ignore"):
            steps = x / scale
        if not np.all(np.abs(steps) < 2.0**31):
            raise ValueError(f"QUANTIZE, tensor {name!r}: values must be finite and below 2**31 steps of {scale}")
        return (np.clip(round_half_away(steps) + np.float32(zero_point), INT8_LOW, INT8_HIGH).astype(np.int8),)

    return run
