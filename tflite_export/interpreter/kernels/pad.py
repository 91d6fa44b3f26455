"""PAD: a border of zeros, that is of the code ``Zy`` if quantised.

Source: TensorFlow Lite, ``pad.cc`` and ``reference_ops::Pad``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import WIDE, Kernel, affine, common_type, output, padded, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    quantised = common_type(op, tensors, 0, types=WIDE) != "float32"
    same_grid(op, tensors, 0)
    return padded(op, tensors, affine(op, output(op, tensors))[1] if quantised else 0)
