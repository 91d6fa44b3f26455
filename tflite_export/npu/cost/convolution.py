"""CONV_2D (with groups and dilation), DEPTHWISE_CONV_2D and TRANSPOSE_CONV on the array."""

import math
from collections.abc import Sequence

import numpy as np

from tflite_export.ir import Op, Tensor
from tflite_export.measures import true_bits
from tflite_export.npu.cost.operands import divide, operands
from tflite_export.npu.loops import Loops
from tflite_export.npu.machine import Machine
from tflite_export.npu.mapping import Layer, on_array
from tflite_export.npu.seen import Seen
from tflite_export.npu.values import unfold
from tflite_export.npu.weights import BITS, codes, measure
from tflite_export.npu.work import Cost


def conv_2d(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Kernel of shape (filters, kernel_h, kernel_w, channels of one group)."""
    x, kernel, y = operands(op, tensors, 4, 4, 4)
    groups = divide(op, x.shape[3], kernel.shape[3], "channels of input and kernel")
    filters = divide(op, kernel.shape[0], groups, "filters and groups")
    weights, values = measure(kernel, channels=kernel.shape[0]), codes(kernel).reshape(kernel.shape[0], -1)
    loops = _loops(op, x, kernel, y, (groups, kernel.shape[3], filters), (true_bits(values), seen.width(op.inputs[0])))
    return on_array(Layer(loops, weights, values, _inputs(op, x, loops, seen)), machine)


def depthwise_conv_2d(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Kernel of shape (1, kernel_h, kernel_w, channels * multiplier)."""
    x, kernel, y = operands(op, tensors, 4, 4, 4)
    multiplier = divide(op, kernel.shape[3], x.shape[3], "channels of kernel and input")
    weights, values = measure(kernel, channels=kernel.shape[3]), codes(kernel).reshape(-1, kernel.shape[3]).T
    loops = _loops(op, x, kernel, y, (x.shape[3], 1, multiplier), (true_bits(values), seen.width(op.inputs[0])))
    return on_array(Layer(loops, weights, values, _inputs(op, x, loops, seen), depthwise=True), machine)


def transpose_conv(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen) -> Cost:
    """Kernel of shape (filters, kernel_h, kernel_w, channels); each input pixel meets all of it.

    Counted as the 1 x 1 convolution to ``filters * kernel_h * kernel_w`` channels that makes what is then added up.
    """
    _, kernel, x, y = operands(op, tensors, 1, 4, 4, 4)
    values = codes(kernel).reshape(-1, kernel.shape[3])
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
        weight_width=true_bits(values),
        in_width=seen.width(op.inputs[2]),
    )
    active = seen.active(op.inputs[2], x)
    inputs = None if active is None else active.reshape(1, loops.m, loops.k)
    return on_array(Layer(loops, measure(kernel, channels=kernel.shape[0]), values, inputs), machine)


def _inputs(op: Op, x: Tensor, loops: Loops, seen: Seen) -> np.ndarray | None:
    active = seen.active(op.inputs[0], x)
    return None if active is None else unfold(active, loops)


def _loops(
    op: Op, x: Tensor, kernel: Tensor, y: Tensor, channels: tuple[int, int, int], widths: tuple[int, int]
) -> Loops:
    """``channels``: groups, input and output channels of each; ``widths``: bits of weights and inputs."""
    groups, in_channels, out_channels = channels
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
        weight_width=widths[0],
        in_width=widths[1],
    )
