"""Ops that handle each element on its own, on the vector unit: arithmetic, clipping, rescaling, tables, softmax."""

import math
from collections.abc import Sequence

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.operands import operands
from tflite_export.npu.machine import Machine
from tflite_export.npu.seen import Seen
from tflite_export.npu.weights import added, measure, nbytes
from tflite_export.npu.work import Cost

SOFTMAX_PASSES = 3
"""Maximum, sum of exponentials, division."""

NORMALIZING_PASSES = 2
"""Sum of squares, product with the inverse of its root."""

BILINEAR_TAPS = 4
"""Products in the mean of four pixels."""


def each_element(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """One operation for each output element; constant operands are read like weights."""
    return _vector(op, tensors, machine, passes=1)


def softmax(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Three passes over the elements."""
    return _vector(op, tensors, machine, passes=SOFTMAX_PASSES)


def l2_normalization(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Two passes over the elements."""
    return _vector(op, tensors, machine, passes=NORMALIZING_PASSES)


def resize_bilinear(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Four products for each output element."""
    return _vector(op, tensors, machine, passes=BILINEAR_TAPS)


def _vector(op: Op, tensors: Sequence[Tensor], machine: Machine, passes: int) -> Cost:
    inputs, output = [tensors[i] for i in op.inputs if i >= 0], operands(op, tensors, None)[0]
    weights = added([measure(t) for t in inputs if t.data is not None])
    read_bytes = sum(nbytes(t) for t in inputs if t.data is None) + weights.moved_bytes(machine.weight_format)
    operations = passes * math.prod(output.shape)
    return Cost(
        machine.vector.work(operations, passes * read_bytes, nbytes(output)), vector_ops=operations, weights=weights
    )
