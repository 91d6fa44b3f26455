"""MAXIMUM with broadcasting: the larger of two values. int8 codes are compared as they are, so the grids must be one.

Source: TensorFlow Lite, ``maximum_minimum.cc``. Differs from it by refusing int8 operands on different grids.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import WIDE, Kernel, common_type, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    common_type(op, tensors, 0, 1, types=WIDE)
    same_grid(op, tensors, 0, 1)
    return lambda a, b: (np.maximum(a, b),)
