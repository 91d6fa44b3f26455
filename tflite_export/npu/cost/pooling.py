"""Pools and means: on the vector unit, or on the array as depthwise convolutions, as the machine says."""

import math
from collections.abc import Sequence

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.operands import divide, operands
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.seen import Seen
from tflite_export.npu.weights import BITS, nbytes
from tflite_export.npu.work import Cost


def pool_2d(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """One operation for each element of each window."""
    x, y = operands(op, tensors, 4, 4)
    loops = Loops(
        in_h=x.shape[1],
        in_w=x.shape[2],
        out_h=y.shape[1],
        out_w=y.shape[2],
        in_channels=1,
        out_channels=1,
        batch=y.shape[0],
        groups=y.shape[3],
        kernel_h=op.options.get("filter_height", 0),
        kernel_w=op.options.get("filter_width", 0),
        stride_h=op.options.get("stride_h", 1),
        stride_w=op.options.get("stride_w", 1),
        in_bits=BITS[x.dtype],
        out_bits=BITS[y.dtype],
    )
    return _windows(loops, nbytes(x), nbytes(y), machine)


def mean(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """One operation for each input element: one window of all the elements that make one output."""
    x, _, y = operands(op, tensors, None, None, None)
    outputs = math.prod(y.shape)
    window = divide(op, math.prod(x.shape), outputs, "elements of input and output")
    loops = Loops(
        in_h=1,
        in_w=window,
        out_h=1,
        out_w=1,
        in_channels=1,
        out_channels=1,
        groups=outputs,
        kernel_w=window,
        in_bits=BITS[x.dtype],
        out_bits=BITS[y.dtype],
    )
    return _windows(loops, nbytes(x), nbytes(y), machine)


def _windows(loops: Loops, read_bytes: int, write_bytes: int, machine: Machine) -> Cost:
    if machine.vector.pooling == "array":
        return Cost(machine.array.depthwise(loops, weight_bytes=0), vector_ops=loops.macs)
    return Cost(machine.vector.work(loops.macs, read_bytes, write_bytes), vector_ops=loops.macs)
