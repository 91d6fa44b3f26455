"""Ops that only move or rename elements."""

import math
from collections.abc import Sequence
from dataclasses import replace

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.operands import operands
from tflite_export.npu.layout import whole_bursts
from tflite_export.npu.loops import ceil_div
from tflite_export.npu.machine import Machine
from tflite_export.npu.seen import Seen
from tflite_export.npu.weights import nbytes
from tflite_export.npu.work import Cost


def move(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Each output element passes through the vector unit once; no arithmetic."""
    output = operands(op, tensors, None)[0]
    size = nbytes(output)
    return Cost(machine.vector.work(math.prod(output.shape), size, size))


def gather(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Each row of a constant table that is asked for comes from main memory, in whole bursts; else as ``move``."""
    table, numbers, output = operands(op, tensors, None, None, None)
    moved = move(op, tensors, machine, seen)
    if table.data is None:
        return moved
    rows = math.prod(numbers.shape)
    row = whole_bursts(ceil_div(nbytes(output), rows), machine.memory.dram_burst_bytes)
    return replace(moved, reread_bytes=rows * row)


def move_all(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """The same of an op that takes a tensor apart: all its outputs together."""
    operands(op, tensors, None, None)
    size = sum(nbytes(tensors[index]) for index in op.outputs)
    return Cost(machine.vector.work(sum(math.prod(tensors[index].shape) for index in op.outputs), size, size))


def rename(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """The same bytes under another shape: free."""
    operands(op, tensors, None, None)
    return Cost(renames=True)
