"""CONV_2D (with groups and dilation), DEPTHWISE_CONV_2D and TRANSPOSE_CONV on the array."""

import math
from collections.abc import Sequence

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.operands import divide, operands
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.weights import BITS, measure
from tflite_export.npu.work import Cost


def conv_2d(op: Op, tensors: Sequence[Tensor], machine: Machine) -> Cost:
    """Kernel of shape (filters, kernel_h, kernel_w, channels of one group)."""
    x, kernel, y = operands(op, tensors, 4, 4, 4)
    groups = divide(op, x.shape[3], kernel.shape[3], "channels of input and kernel")
    filters = divide(op, kernel.shape[0], groups, "filters and groups")
    loops = _loops(op, x, kernel, y, groups, kernel.shape[3], filters)
    weights = measure(kernel, channels=kernel.shape[0])
    work = machine.array.convolution(loops, weights.moved_bytes(machine.weight_format))
    return Cost(work, loops.macs, mac_bits=machine.array.mac_bits(loops), weights=weights, loops=loops)


def depthwise_conv_2d(op: Op, tensors: Sequence[Tensor], machine: Machine) -> Cost:
    """Kernel of shape (1, kernel_h, kernel_w, channels * multiplier)."""
    x, kernel, y = operands(op, tensors, 4, 4, 4)
    multiplier = divide(op, kernel.shape[3], x.shape[3], "channels of kernel and input")
    loops = _loops(op, x, kernel, y, x.shape[3], 1, multiplier)
    weights = measure(kernel, channels=kernel.shape[3])
    work = machine.array.depthwise(loops, weights.moved_bytes(machine.weight_format))
    return Cost(work, loops.macs, mac_bits=machine.array.mac_bits(loops), weights=weights, loops=loops)


def transpose_conv(op: Op, tensors: Sequence[Tensor], machine: Machine) -> Cost:
    """Kernel of shape (filters, kernel_h, kernel_w, channels); each input pixel meets all of it.

    Counted as the 1 x 1 convolution to ``filters * kernel_h * kernel_w`` channels that makes what is then added up.
    """
    _, kernel, x, y = operands(op, tensors, 1, 4, 4, 4)
    loops = Loops(
        in_h=x.shape[1],
        in_w=x.shape[2],
        out_h=x.shape[1],
        out_w=x.shape[2],
        in_channels=kernel.shape[3],
        out_channels=math.prod(kernel.shape[:3]),
        batch=x.shape[0],
        weight_bits=BITS[kernel.dtype],
        in_bits=BITS[x.dtype],
        out_bits=BITS[y.dtype],
    )
    weights = measure(kernel, channels=kernel.shape[0])
    work = machine.array.convolution(loops, weights.moved_bytes(machine.weight_format))
    return Cost(work, loops.macs, mac_bits=machine.array.mac_bits(loops), weights=weights, loops=loops)


def _loops(op: Op, x: Tensor, kernel: Tensor, y: Tensor, groups: int, in_channels: int, out_channels: int) -> Loops:
    return Loops(
        in_h=x.shape[1],
        in_w=x.shape[2],
        out_h=y.shape[1],
        out_w=y.shape[2],
        in_channels=in_channels,
        out_channels=out_channels,
        batch=y.shape[0],
        groups=groups,
        kernel_h=kernel.shape[1],
        kernel_w=kernel.shape[2],
        stride_h=op.options.get("stride_h", 1),
        stride_w=op.options.get("stride_w", 1),
        dilation_h=op.options.get("dilation_h_factor", 1),
        dilation_w=op.options.get("dilation_w_factor", 1),
        weight_bits=BITS[kernel.dtype],
        in_bits=BITS[x.dtype],
        out_bits=BITS[y.dtype],
    )
