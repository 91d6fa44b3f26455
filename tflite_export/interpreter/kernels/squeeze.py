"""SQUEEZE: drops axes of length 1, all of them or those in ``squeeze_dims``.

Source: TensorFlow Lite, ``squeeze.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import Kernel, refuse, required, reshaped
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    x = required(op, tensors, 0)
    ones = [axis for axis, length in enumerate(x.shape) if length == 1]
    axes = {axis % max(len(x.shape), 1) for axis in op.options.get("squeeze_dims") or ones}
    if not axes <= set(ones):
        refuse(op, x, f"squeeze_dims must be axes of length 1. Received: {sorted(axes)}")
    return reshaped(tuple(length for axis, length in enumerate(x.shape) if axis not in axes))
