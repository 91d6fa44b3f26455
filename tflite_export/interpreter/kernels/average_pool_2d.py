"""AVERAGE_POOL_2D: the mean of each window over the ``n`` pixels inside the image, then the fused activation.

Integers: the mean of the raw codes, ``sign(s) * floor((|s| + floor(n / 2)) / n)`` with ``s`` their sum: nearest, halves
away from zero. Nothing is rescaled, so input and output must have one grid.

Source: TensorFlow Lite, ``reference_integer_ops::AveragePool``. Differs from it by refusing two different grids,
which the source does not check and XNNPACK refuses.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import WIDE, Kernel, common_type, required, same_grid
from tflite_export.interpreter.windows import Windows, pool_limits, pool_windows
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    x, dtype = required(op, tensors, 0), common_type(op, tensors, 0, types=WIDE)
    same_grid(op, tensors, 0)
    slide, limits = pool_windows(op, x), pool_limits(op, tensors)
    count = _sum(slide, np.ones((1, *x.shape[1:3], 1), np.int32))
    if dtype == "float32":
        return lambda x: (np.clip(_sum(slide, x) / count.astype(np.float32), *limits),)

    def run(x: np.ndarray) -> tuple[np.ndarray]:
        total = _sum(slide, x.astype(np.int32))
        mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
        return (np.clip(mean, *limits).astype(x.dtype),)

    return run


def _sum(slide: Windows, x: np.ndarray) -> np.ndarray:
    first, *rest = slide.taps(slide.pad(x, 0))
    total = first.copy()
    for tap in rest:
        total += tap
    return total
