"""SELECT and SELECT_V2: ``a`` where a condition holds, else ``b``. The second of the ops broadcasts. Codes are copied.

Source: TensorFlow Lite, ``select.cc`` and ``reference_ops::Select``. Differs from it by refusing two different grids,
and SELECT with a condition for each slice along the first axis.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, output, refuse, refuse_type, required, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    condition, a, b = (required(op, tensors, position) for position in range(3))
    y = output(op, tensors)
    for tensor, expected in ((condition, "bool"), (b, a.dtype), (y, a.dtype)):
        if tensor.dtype != expected:
            refuse_type(op, tensor, expected)
    same_grid(op, tensors, 1, 2)
    if op.kind == "SELECT" and (a.shape != b.shape or condition.shape not in (a.shape, ())):
        refuse(op, condition, f"expected the shape of both values. Received: {condition.shape}, {a.shape}, {b.shape}")

    def run(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        return (np.where(condition, a, b),)

    return run
