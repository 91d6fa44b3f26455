"""LESS with broadcasting: whether ``a < b``.

Source: TensorFlow Lite, ``comparisons.cc``. Differs from it by refusing codes, which it would rescale first.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, output, refuse_type, required
from tflite_export.ir import Op, Tensor

TYPES = ("float32", "int32", "int64")


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, or whole numbers of 32 or 64 bits."""
    a, b = required(op, tensors, 0), required(op, tensors, 1)
    if a.dtype not in TYPES:
        refuse_type(op, a, " or ".join(TYPES))
    for tensor, expected in ((b, a.dtype), (output(op, tensors), "bool")):
        if tensor.dtype != expected:
            refuse_type(op, tensor, expected)
    return lambda a, b: (np.less(a, b),)
