"""CONCATENATION along ``axis``. int8 codes are copied, so every input must have the grid of the output.

Source: TensorFlow Lite, ``concatenation.cc``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, activation, output, refuse, same_grid
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type; a constant with one row serves every sample of a batch."""
    y, axis = output(op, tensors), op.options.get("axis", 0)
    if not -len(y.shape) <= axis < len(y.shape):
        refuse(op, y, f"has no axis {axis}")
    if activation(op, tensors) != "NONE":
        refuse(op, y, "a fused activation is not supported. Put a RELU behind it")
    same_grid(op, tensors, *range(len(op.inputs)))
    if any(len(tensors[index].shape) != len(y.shape) for index in op.inputs):
        refuse(op, y, f"expected inputs of its rank. Received: {[tensors[index].shape for index in op.inputs]}")
    axis %= len(y.shape)

    def run(*parts: np.ndarray) -> tuple[np.ndarray]:
        rows = max(len(part) for part in parts)
        if axis:
            parts = tuple(np.broadcast_to(part, (rows, *part.shape[1:])) for part in parts)
        return (np.concatenate(parts, axis),)

    return run
