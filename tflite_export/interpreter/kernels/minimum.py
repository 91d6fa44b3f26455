"""MINIMUM with broadcasting: the smaller of two values. int8 codes are compared as they are, so the grids must be one.

Source: TensorFlow Lite, ``maximum_minimum.cc``. Differs from it by refusing int8 operands on different grids.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, refuse_type, required, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    for x in (required(op, tensors, 0), required(op, tensors, 1)):
        if x.dtype not in ("float32", "int8"):
            refuse_type(op, x, "float32 or int8")
        same_grid(op, tensors, x)
    return lambda a, b: (np.minimum(a, b),)
