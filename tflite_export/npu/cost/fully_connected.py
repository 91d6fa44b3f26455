"""FULLY_CONNECTED: a 1 x 1 convolution over a line of pixels, one for each row of the input."""

import math
from collections.abc import Sequence

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.operands import divide, operands
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.weights import BITS, measure
from tflite_export.npu.work import Cost


def fully_connected(op: Op, tensors: Sequence[Tensor], machine: Machine) -> Cost:
    """Kernel of shape (units, inputs)."""
    x, kernel, y = operands(op, tensors, None, 2, None)
    units, inputs = kernel.shape
    rows = divide(op, math.prod(x.shape), inputs, "elements of input and kernel row")
    loops = Loops(
        in_h=1,
        in_w=rows,
        out_h=1,
        out_w=rows,
        in_channels=inputs,
        out_channels=units,
        weight_bits=BITS[kernel.dtype],
        in_bits=BITS[x.dtype],
        out_bits=BITS[y.dtype],
    )
    weights = measure(kernel, channels=units)
    work = machine.array.convolution(loops, weights.moved_bytes(machine.weight_format))
    return Cost(work, loops.macs, mac_bits=machine.array.mac_bits(loops), weights=weights, loops=loops)
