"""REVERSE_V2: the elements in the opposite order along the axes that the constant second input lists.

Source: TensorFlow Lite, ``reverse.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, integers, output, refuse, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type; the axes lie side by side, as the runtime asks."""
    x, y, axes = required(op, tensors, 0), output(op, tensors), integers(op, tensors, 1)
    rank = len(x.shape)
    if y.dtype != x.dtype:
        refuse_type(op, y, x.dtype)
    if any(not -rank <= axis < rank for axis in axes):
        refuse(op, x, f"axes must lie between {-rank} and {rank - 1}. Received: {axes}")
    found = sorted(axis % rank for axis in axes)
    if not found or found != list(range(found[0], found[0] + len(found))):
        refuse(op, x, f"expected different axes that lie side by side. Received: {axes}")
    return lambda x, *_: (np.ascontiguousarray(np.flip(x, tuple(found))),)
