"""SPLIT: the second input cut into equal parts along the axis that the constant first input names.

Source: TensorFlow Lite, ``split.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, integers, refuse, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type; one output a part."""
    axes, x, count = integers(op, tensors, 0), required(op, tensors, 1), len(op.outputs)
    if len(axes) != 1 or not -len(x.shape) <= axes[0] < len(x.shape):
        refuse(op, x, f"expected one axis of it. Received: {axes}")
    axis = axes[0] % len(x.shape)
    if op.options.get("num_splits", count) != count or x.shape[axis] % count:
        refuse(op, x, f"does not divide into {count} equal parts along axis {axis}")
    for part in (tensors[index] for index in op.outputs):
        if part.dtype != x.dtype:
            refuse_type(op, part, x.dtype)
    return lambda _, x: tuple(map(np.ascontiguousarray, np.split(x, count, axis)))
