"""RELU: ``max(x, 0)``. int8: ``y = clip(MBQM(x - Zx, Sx / Sy) + Zy)`` between the codes of the bounds.

Source: TensorFlow Lite, ``activations.cc``, ``QuantizedReluX``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.elementwise import rectified
from tflite_export.interpreter.operands import WIDE, Kernel, common_type
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    if common_type(op, tensors, 0, types=WIDE) != "float32":
        return rectified(op, tensors, "RELU")
    return lambda x: (activate(x, "RELU"),)
