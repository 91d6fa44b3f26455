"""PACK: tensors of one shape side by side along a new ``axis``. int8 codes are copied, so all must have one grid.

Source: TensorFlow Lite, ``pack.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, output, refuse, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    y, axis = output(op, tensors), op.options.get("axis", 0)
    if not -len(y.shape) <= axis < len(y.shape):
        refuse(op, y, f"has no axis {axis}")
    same_grid(op, tensors, *range(len(op.inputs)))
    if len({tensors[index].shape for index in op.inputs}) != 1:
        refuse(op, y, f"expected inputs of one shape. Received: {[tensors[index].shape for index in op.inputs]}")
    return lambda *parts: (np.stack(parts, axis),)
