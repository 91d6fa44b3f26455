"""PAD: a border of zeros, that is of the code ``Zy`` if quantised.

Source: TensorFlow Lite, ``pad.cc`` and ``reference_ops::Pad``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import Kernel, affine, output, padded, refuse_type, required, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    x = required(op, tensors, 0)
    if x.dtype not in ("float32", "int8"):
        refuse_type(op, x, "float32 or int8")
    same_grid(op, tensors, x)
    zero = affine(op, output(op, tensors))[1] if x.dtype == "int8" else 0
    return padded(op, tensors, zero)
