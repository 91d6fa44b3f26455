"""QUANTIZE: onto the grid of the output.

    float32:        y = clip(round(x / Sy) + Zy),           a float32 division, halves away from zero
    integers:       y = clip(MBQM(x - Zx, Sx / Sy) + Zy),   the multiplier in float64

Source: TensorFlow Lite, ``reference_ops::AffineQuantize`` and ``Requantize``. Differs from it in refusing float values
of 2**31 steps and more, NaN among them, whose cast to int32 C leaves undefined.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import round_half_away
from tflite_export.interpreter.elementwise import looked_up, requantized_codes
from tflite_export.interpreter.operands import Kernel, affine, output, refuse_type, required
from tflite_export.ir import STORAGE, Op, Tensor

CODES = ("int8", "uint8", "int16")


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8, uint8 or int16 to one of these integers."""
    x, y = required(op, tensors, 0), output(op, tensors)
    if y.dtype not in CODES:
        refuse_type(op, y, " or ".join(CODES))
    limits = np.iinfo(STORAGE[y.dtype])
    if x.dtype == "float32":
        return _float(x.name, *affine(op, y), limits)
    if x.dtype in CODES:
        real = np.float64(affine(op, x)[0]) / np.float64(affine(op, y)[0])
        return looked_up(np.clip(requantized_codes(op, tensors, real), limits.min, limits.max).astype(limits.dtype))
    refuse_type(op, x, f"float32 or {' or '.join(CODES)}")


def _float(name: str, scale: np.float32, zero_point: int, limits: np.iinfo) -> Kernel:
    def run(x: np.ndarray) -> tuple[np.ndarray]:
        with np.errstate(over="ignore"):
            steps = x / scale
        if not np.all(np.abs(steps) < 2.0**31):
            raise ValueError(f"QUANTIZE, tensor {name!r}: values must be finite and below 2**31 steps of {scale}")
        return (np.clip(round_half_away(steps) + np.float32(zero_point), limits.min, limits.max).astype(limits.dtype),)

    return run
