"""RESHAPE: the same values in the same order. Codes are taken over as they are.

Source: TensorFlow Lite, ``reshape.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, constant, operand, output, refuse, required, reshaped
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type; the shape is the constant second input, else the option ``new_shape``, else that of the output."""
    x, y = required(op, tensors, 0), output(op, tensors)
    if operand(op, tensors, 1) is not None:
        target = tuple(int(length) for length in constant(op, tensors, 1).reshape(-1))
    else:
        target = tuple(op.options.get("new_shape") or y.shape)
    known, size = int(np.prod([length for length in target if length != -1])), int(np.prod(x.shape))
    if target.count(-1) > 1 or (size % max(known, 1) if -1 in target else size != known):
        refuse(op, x, f"cannot take the shape {target}")
    return reshaped(tuple(size // known if length == -1 else length for length in target))
