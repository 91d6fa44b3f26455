r"""What half of an operand would save: how the cost of a layer follows its widths and its channels.

Cycles are maxima, roundings and bursts. Their derivatives are 0 almost everywhere, and what a search can follow are
secants, from the layer as it is to the same layer with half as many bits of its weights or inputs, or half as many of
its input or output channels:

    saving  =  (1 - cost(half) / cost) / (1 - half),    cut to 0 ... 1

with ``half`` the share that is left, about 1/2. 1 says that the cost goes with the number, 0 that the number buys
nothing on this machine: widths on multipliers that are all as wide, bytes where the array is what takes the time, and
channels that fill no column of the array less.

Everything else stays: the other operands, and which feature maps are in SRAM. Half as many bits are the codes without
their lower half.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tflite_export.ir import Graph, Op, Tensor
from tflite_export.measures import true_bits
from tflite_export.npu.machine import Machine, energies
from tflite_export.npu.memory import Placement, place
from tflite_export.npu.seen import Seen, widths
from tflite_export.npu.sheet import Row, Sheet
from tflite_export.npu.weights import codes, zero_code

Quantity = Callable[[Row], float]


@dataclass(frozen=True)
class Kernel:
    """Where the operands of an op are: its map and its kernel among the inputs, and the axes of the kernel.

    Attributes:
        x: The feature map that is read.
        kernel: The weights.
        inputs: Axis of the kernel along which it meets the channels of the map.
        outputs: Axis of the kernel along which it makes channels; None if it makes them of those that it meets.
    """

    x: int
    kernel: int
    inputs: int
    outputs: int | None


KERNELS = {
    "CONV_2D": Kernel(0, 1, 3, 0),
    "DEPTHWISE_CONV_2D": Kernel(0, 1, 3, None),
    "FULLY_CONNECTED": Kernel(0, 1, 1, 0),
    "TRANSPOSE_CONV": Kernel(2, 1, 3, 0),
}
"""The ops whose kernels have a width and channels that training may choose."""


@dataclass(frozen=True)
class Part:
    """What an op contributes.

    Attributes:
        op: The op.
        kernel: Name of its kernel, empty if it has none.
        cost: Its quantity.
        savings: What it saves, by the names of ``HALVES``; empty without a kernel.
    """

    op: Op
    kernel: str
    cost: float
    savings: Mapping[str, float]


def parts(graph: Graph, machine: Machine, quantity: Quantity) -> list[Part]:
    """All ops of a graph, in execution order; their costs sum to the quantity of the whole.

    Args:
        graph: An integer graph.
        machine: The machine.
        quantity: What is asked of a row of the estimate.

    Raises:
        ValueError: An op has no cost on this machine.
    """
    sheet = Sheet(graph, machine, energies(machine), widths(graph))
    costs = sheet.costs()
    placement = place(graph, costs, machine)
    return [
        _part(sheet, placement, step, quantity(sheet.row(step, cost, placement)), quantity)
        for step, cost in enumerate(costs)
    ]


def _part(sheet: Sheet, placement: Placement, step: int, cost: float, quantity: Quantity) -> Part:
    op = sheet.graph.ops[step]
    if op.kind not in KERNELS:
        return Part(op, "", cost, {})

    def saving(half: tuple[Sheet, float] | None) -> float:
        if half is None or not cost:
            return 0.0
        other, left = half
        changed = quantity(other.row(step, other.cost(step, Seen(other.widths)), placement))
        return float(np.clip((1 - changed / cost) / (1 - left), 0.0, 1.0))

    kernel = sheet.graph.tensors[op.inputs[KERNELS[op.kind].kernel]].name
    return Part(op, kernel, cost, {name: saving(half(sheet, op)) for name, half in HALVES.items()})


def _weight_bits(sheet: Sheet, op: Op) -> tuple[Sheet, float] | None:
    index = op.inputs[KERNELS[op.kind].kernel]
    kernel = sheet.graph.tensors[index]
    values = codes(kernel)
    bits = true_bits(values)
    wide = values.astype(np.int32)  # the magnitude of -128 needs it
    short = np.sign(wide) * (np.abs(wide) >> bits // 2) + zero_code(kernel)
    left = true_bits(short) / bits
    return (_with(sheet, {index: replace(kernel, data=short.astype(values.dtype))}), left) if left < 1 else None


def _input_bits(sheet: Sheet, op: Op) -> tuple[Sheet, float] | None:
    index = op.inputs[KERNELS[op.kind].x]
    bits = sheet.widths.get(index, 0)
    half = -(-bits // 2)
    return (replace(sheet, widths={**sheet.widths, index: half}), half / bits) if half < bits else None


def _in_channels(sheet: Sheet, op: Op) -> tuple[Sheet, float] | None:
    where, tensors = KERNELS[op.kind], sheet.graph.tensors
    x, kernel = op.inputs[where.x], op.inputs[where.kernel]
    extents = tensors[x].shape[-1], tensors[kernel].shape[where.inputs]
    unit = min(extents)  # channels of a group, or of a map that a dense layer reads position by position
    if unit == 1:
        return None
    small, wide = (extent // unit * (unit // 2) for extent in extents)
    changed = {x: _first(tensors[x], -1, small), kernel: _first(tensors[kernel], where.inputs, wide)}
    if where.outputs is None:
        made = op.outputs[0]
        changed[made] = _first(tensors[made], -1, wide)
    return _with(sheet, changed), unit // 2 / unit


def _out_channels(sheet: Sheet, op: Op) -> tuple[Sheet, float] | None:
    where, tensors = KERNELS[op.kind], sheet.graph.tensors
    if where.outputs is None:
        return None
    x, kernel, made = op.inputs[where.x], op.inputs[where.kernel], op.outputs[0]
    groups = max(tensors[x].shape[-1] // tensors[kernel].shape[where.inputs], 1)
    filters = tensors[kernel].shape[where.outputs] // groups
    if filters == 1:
        return None
    half = groups * (filters // 2)
    changed = {kernel: _first(tensors[kernel], where.outputs, half), made: _first(tensors[made], -1, half)}
    return _with(sheet, changed), filters // 2 / filters


def _first(tensor: Tensor, axis: int, count: int) -> Tensor:
    """The first so many along an axis."""
    shape = list(tensor.shape)
    shape[axis] = count
    data = None if tensor.data is None else np.take(tensor.data, range(count), axis)
    return replace(tensor, shape=tuple(shape), data=data)


def _with(sheet: Sheet, changed: Mapping[int, Tensor]) -> Sheet:
    """The sheet of a graph in which some tensors are others."""
    tensors = tuple(changed.get(index, tensor) for index, tensor in enumerate(sheet.graph.tensors))
    return replace(sheet, graph=replace(sheet.graph, tensors=tensors))


HALVES: dict[str, Callable[[Sheet, Op], tuple[Sheet, float] | None]] = {
    "weight_bits": _weight_bits,
    "input_bits": _input_bits,
    "kept_inputs": _in_channels,
    "kept_outputs": _out_channels,
}
"""What is halved -> the sheet with it, and the share that is left; None where one is all there is."""
