"""MAX_POOL_2D: the largest value in each window, padding aside, then the fused activation. Codes are compared as such.

Source: TensorFlow Lite, ``reference_integer_ops::MaxPool``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import WIDE, Kernel, common_type, required
from tflite_export.interpreter.windows import pool_limits, pool_windows
from tflite_export.ir import Op, Tensor

LOWEST = {"float32": -np.inf, "int8": -128, "int16": -32768}


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    lowest = LOWEST[common_type(op, tensors, 0, types=WIDE)]
    slide, limits = pool_windows(op, required(op, tensors, 0)), pool_limits(op, tensors)

    def run(x: np.ndarray) -> tuple[np.ndarray]:
        first, *rest = slide.taps(slide.pad(x, lowest))
        y = first.copy()
        for tap in rest:
            np.maximum(y, tap, out=y)
        return (np.clip(y, *limits, out=y),)

    return run
