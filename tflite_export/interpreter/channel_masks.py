"""Which channels of a graph do not matter, because something multiplies them by zero.

    x ── CONV_2D ── y ── MUL ── z ── CONV_2D         g holds one code per channel, computed at run time
    x ── ... ────── g ────┘

Where a code of ``g`` is its zero point, the channel of ``z`` is zero, whoever reads it, and the channel of ``y`` need
not be computed, if nothing else reads it. Nothing in the file says so: it follows from the numbers.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tflite_export.ir import Graph, Op, Tensor

Mask = np.ndarray
"""True for the channels, along the last axis, that are off; bool."""

CHANNELWISE = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU", "RELU6", "PAD", "QUANTIZE", "MEAN")
"""Ops that make of each channel, the last axis, one channel, and of zeros zeros."""


def switch_of(graph: Graph, op: Op) -> tuple[int, int] | None:
    """(map, gate) if ``op`` multiplies each channel of a feature map by a code of its own that is computed."""
    if op.kind != "MUL":
        return None
    for x, g in (op.inputs, op.inputs[::-1]):
        gate, channels = graph.tensors[g], graph.tensors[x].shape[-1:]
        single = gate.data is None and gate.shape[-1:] == channels and int(np.prod(gate.shape)) == channels[0]
        if single and graph.tensors[x].data is None and int(np.prod(graph.tensors[x].shape)) > channels[0]:
            return x, g
    return None


def zero_code(tensor: Tensor) -> int:
    """What stands for zero in a tensor."""
    grid = tensor.quantization
    return 0 if grid is None or tensor.dtype == "float32" else int(grid.zero_point[0])


def zeros(tensor: Tensor, values: np.ndarray) -> Mask:
    """Which values of a tensor are zero."""
    return np.asarray(values == zero_code(tensor))


def deciding(graph: Graph) -> dict[int, int]:
    """Linear op -> the gate that says which of its output channels matter; not there if all may."""
    readers: dict[int, list[int]] = {t: [-1] for t in graph.outputs}
    for k, op in enumerate(graph.ops):
        for t in {t for t in op.inputs if t >= 0}:
            readers.setdefault(t, []).append(k)
    found = {}
    for k, op in enumerate(graph.ops):
        gate = _gate_behind(graph, readers, op.outputs[0]) if op.kind in LINEAR else None
        if gate is not None and k not in _ancestors(graph, gate):
            found[k] = gate
    return found


LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Ops that can leave out channels."""


def _gate_behind(graph: Graph, readers: dict[int, list[int]], t: int) -> int | None:
    """The gate of the switch that alone reads ``t``, or what is made of it channel by channel."""
    while len(readers.get(t, [])) == 1 and (k := readers[t][0]) >= 0:
        op = graph.ops[k]
        switch = switch_of(graph, op)
        if switch is not None:
            return switch[1] if switch[0] == t else None
        if op.kind not in (*CHANNELWISE, "DEPTHWISE_CONV_2D", "RESHAPE") or not _keeps_channels(graph, op):
            return None
        t = op.outputs[0]
    return None


def _keeps_channels(graph: Graph, op: Op) -> bool:
    """Whether there are as many channels behind an op as in front of it, in the same places."""
    x, y = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    axes = graph.tensors[op.inputs[1]].data if op.kind == "MEAN" else None
    reduced = axes is not None and bool(np.any(axes % len(x) == len(x) - 1))
    return x[-1:] == y[-1:] and not reduced


def _ancestors(graph: Graph, t: int) -> set[int]:
    """The ops that ``t`` depends on."""
    maker = {t: k for k, op in enumerate(graph.ops) for t in op.outputs}
    found: set[int] = set()
    open_ends = [t]
    while open_ends:
        k = maker.get(open_ends.pop())
        if k is not None and k not in found:
            found.add(k)
            open_ends += [t for t in graph.ops[k].inputs if t >= 0]
    return found


def order(graph: Graph, gates: dict[int, int]) -> list[int]:
    """The ops in an order in which each gate is known before what it decides on; else as they were."""
    maker = {t: k for k, op in enumerate(graph.ops) for t in op.outputs}
    done: dict[int, None] = {}
    for last in range(len(graph.ops)):
        stack = [last]
        while stack:
            k = stack[-1]
            wanted = [maker[t] for t in (*graph.ops[k].inputs, gates.get(k, -1)) if t in maker]
            missing = [j for j in wanted if j not in done]
            stack += missing
            if not missing:
                done.setdefault(stack.pop())
    return list(done)


def off_behind(graph: Graph, op: Op, values: dict[int, np.ndarray], off: dict[int, Mask]) -> Mask | None:
    """The channels of an op's output that are zero because channels in front of it are; None if none is known to be."""
    switch = switch_of(graph, op)
    if switch is not None:
        x, gate = switch
        return zeros(graph.tensors[gate], values[gate].reshape(-1)) | off.get(x, np.zeros(1, bool))
    rule = RULES.get(op.kind)
    return rule(graph, op, [off.get(t) for t in op.inputs]) if rule else None


Known = Sequence[Mask | None]


def _same(graph: Graph, op: Op, off: Known) -> Mask | None:
    return off[0] if _keeps_channels(graph, op) else None


def _flattened(graph: Graph, op: Op, off: Known) -> Mask | None:
    """The channels of all positions, one after the other, or the same channels at other positions."""
    x, y = graph.tensors[op.inputs[0]].shape[-1], graph.tensors[op.outputs[0]].shape[-1]
    if off[0] is None or y % x or y not in (x, int(np.prod(graph.tensors[op.inputs[0]].shape[1:]))):
        return None
    return np.tile(off[0], y // x)


def _both(graph: Graph, op: Op, off: Known) -> Mask | None:
    a, b = off[:2]
    return None if a is None or b is None or a.shape != b.shape else a & b


RULES: dict[str, Callable[[Graph, Op, Known], Mask | None]] = {
    **dict.fromkeys(CHANNELWISE, _same),
    "RESHAPE": _flattened,
    "ADD": _both,
}
"""Op -> which channels of its output are zero, given those of its inputs."""
