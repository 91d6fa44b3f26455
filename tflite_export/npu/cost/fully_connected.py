"""FULLY_CONNECTED: a 1 x 1 convolution over a line of pixels, one for each row of the input."""

import math
from collections.abc import Sequence

from tflite_export.ir import Op, Tensor
from tflite_export.measures import true_bits
from tflite_export.npu.cost.operands import divide, operands
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.mapping import Layer, on_array
from tflite_export.npu.seen import Seen
from tflite_export.npu.weights import BITS, codes, measure
from tflite_export.npu.work import Cost


def fully_connected(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Kernel of shape (units, inputs)."""
    x, kernel, y = operands(op, tensors, None, 2, None)
    units, inputs = kernel.shape
    rows = divide(op, math.prod(x.shape), inputs, "elements of input and kernel row")
    values, active = codes(kernel), seen.active(op.inputs[0], x)
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
        weight_width=true_bits(values),
        in_width=seen.width(op.inputs[0]),
    )
    nonzero = None if active is None else active.reshape(1, rows, inputs)
    return on_array(Layer(loops, measure(kernel, channels=units), values, nonzero), machine)
