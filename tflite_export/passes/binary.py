"""Feature maps that hold nothing but 0 and 1, and what the passes know of products with them.

Their grid has the step 1. In int8 it has one bit, at the top of the type, so that both ends saturate by themselves; in
int16, whose zero point is 0, a MINIMUM with 1 keeps the upper end.
"""

import numpy as np

from tflite_export.ir import Graph, Op, Quantization

TOP = 127


def binary_grid(wide: bool = False) -> Quantization:
    """The grid; for int16 if ``wide``."""
    step = np.ones(1, np.float32)
    if wide:
        return Quantization(step, np.zeros(1, np.int64), bits=16, low=0)
    return Quantization(step, np.array([TOP - 1], np.int64), bits=1, low=TOP - 1)


def is_binary(grid: Quantization | None) -> bool:
    """Whether a grid is that of such a feature map."""
    return grid in (binary_grid(), binary_grid(wide=True))


def switched(graph: Graph, op: Op) -> int | None:
    """The tensor that ``op`` multiplies by zeros and ones, on whose grid the product lies; None if it does not."""
    if op.kind != "MUL" or op.options.get("fused_activation_function", "NONE") != "NONE":
        return None
    binary = [is_binary(graph.tensors[t].quantization) for t in op.inputs]
    other = op.inputs[1 if binary[0] else 0]
    return other if any(binary) and graph.tensors[other].data is None else None
