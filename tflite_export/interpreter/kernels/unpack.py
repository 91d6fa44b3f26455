"""UNPACK: a tensor taken apart along ``axis``, which is gone from the outputs.

Source: TensorFlow Lite, ``unpack.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, refuse, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type; one output for each element of the axis."""
    x, axis, count = required(op, tensors, 0), op.options.get("axis", 0), len(op.outputs)
    if not -len(x.shape) <= axis < len(x.shape):
        refuse(op, x, f"has no axis {axis}")
    if x.shape[axis] != count or op.options.get("num", count) != count:
        refuse(op, x, f"expected one output for each of {x.shape[axis]} elements. Received: {count}")
    for part in (tensors[index] for index in op.outputs):
        if part.dtype != x.dtype:
            refuse_type(op, part, x.dtype)
    return lambda x: tuple(np.asarray(np.take(x, k, axis)) for k in range(count))
