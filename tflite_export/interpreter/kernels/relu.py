"""RELU: ``max(x, 0)``. int8: ``y = clip(MBQM(x - Zx, Sx / Sy) + Zy)`` between the codes of the bounds.

Source: TensorFlow Lite, ``activations.cc``, ``QuantizedReluX``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.elementwise import rectified
from tflite_export.interpreter.operands import Kernel, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    x = required(op, tensors, 0)
    if x.dtype == "int8":
        return rectified(op, tensors, "RELU")
    if x.dtype == "float32":
        return lambda x: (activate(x, "RELU"),)
    refuse_type(op, x, "float32 or int8")
