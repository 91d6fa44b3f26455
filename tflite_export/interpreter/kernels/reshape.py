"""RESHAPE: the same values in the same order. Codes are taken over as they are.

Source: TensorFlow Lite, ``reshape.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import (
    Kernel,
    integers,
    operand,
    output,
    refuse,
    refuse_type,
    required,
    reshaped,
)
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type; the shape is the second input, constant or not, else the option ``new_shape``, else the output's."""
    x, y, shape = required(op, tensors, 0), output(op, tensors), operand(op, tensors, 1)
    if shape is not None and shape.dtype not in ("int32", "int64"):
        refuse_type(op, shape, "int32 or int64")
    if shape is not None and shape.data is None:
        return lambda x, shape: (x.reshape(shape.reshape(-1)),)
    target = tuple(op.options.get("new_shape") or y.shape)
    if shape is not None:
        target = tuple(integers(op, tensors, 1))
    known, size = int(np.prod([length for length in target if length != -1])), int(np.prod(x.shape))
    if target.count(-1) > 1 or (size % max(known, 1) if -1 in target else size != known):
        refuse(op, x, f"cannot take the shape {target}")
    return reshaped(tuple(size // known if length == -1 else length for length in target))
