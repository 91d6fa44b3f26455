"""PADV2: a border of the constant third input, taken as a code of the output's grid if quantised.

Source: TensorFlow Lite, ``pad.cc`` and ``reference_ops::Pad``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import Kernel, constant, padded, refuse_type, required, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    x, value = required(op, tensors, 0), required(op, tensors, 2)
    if x.dtype not in ("float32", "int8"):
        refuse_type(op, x, "float32 or int8")
    same_grid(op, tensors, x)
    same_grid(op, tensors, value)
    return padded(op, tensors, constant(op, tensors, 2).reshape(-1)[0])
