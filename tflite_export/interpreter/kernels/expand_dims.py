"""EXPAND_DIMS: a new axis of length 1 at the position given by the constant second input.

Source: TensorFlow Lite, ``expand_dims.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import Kernel, integers, refuse, required, reshaped
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    x, given = required(op, tensors, 0), integers(op, tensors, 1)
    rank = len(x.shape)
    if len(given) != 1 or not -rank - 1 <= given[0] <= rank:
        refuse(op, x, f"cannot get a new axis at {given}")
    axis = given[0] % (rank + 1)
    return reshaped((*x.shape[:axis], 1, *x.shape[axis:]))
