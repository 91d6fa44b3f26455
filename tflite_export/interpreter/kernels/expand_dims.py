"""EXPAND_DIMS: a new axis of length 1 at the position given by the constant second input.

Source: TensorFlow Lite, ``expand_dims.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import Kernel, constant, refuse, required, reshaped
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    x, axis = required(op, tensors, 0), int(constant(op, tensors, 1).reshape(-1)[0])
    rank = len(x.shape)
    if not -rank - 1 <= axis <= rank:
        refuse(op, x, f"cannot get a new axis at {axis}")
    axis %= rank + 1
    return reshaped((*x.shape[:axis], 1, *x.shape[axis:]))
