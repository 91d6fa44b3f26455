"""Which feature maps stay in SRAM, and what the others cost in main-memory traffic.

A feature map lives from the op that makes it to the last that reads it. It stays in SRAM if, at every op of its
life, all feature maps alive then and the first weights of the op fit together:

    resident(t)  <=>  for all ops i in life(t):  sum of bytes alive at i + buffers * first weights of i <= SRAM

so SRAM is never promised twice, and more of it never evicts anything. What does not stay travels from and to main
memory around each op, tiled if the maps alive at that op do not fit. Maps that an op only renames share one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tflite_export.ir import Graph, Op, Tensor
from tflite_export.npu.layout import map_bytes, whole_bursts
from tflite_export.npu.loops import ceil_div
from tflite_export.npu.machine import Machine, Memory
from tflite_export.npu.tiling import Traffic, tile_traffic
from tflite_export.npu.work import Cost

UNLIMITED = 2**62


@dataclass(frozen=True)
class Placement:
    """Where feature maps live.

    Attributes:
        resident: Tensors that stay in SRAM.
        fits: Whether everything alive at an op fits in SRAM, one flag an op.
        alive_bytes: Bytes of all feature maps alive at an op, one number an op.
    """

    resident: frozenset[int]
    fits: tuple[bool, ...]
    alive_bytes: tuple[int, ...]


def place(graph: Graph, costs: Sequence[Cost], machine: Machine) -> Placement:
    """Decides for every feature map of the graph."""
    memory, places = machine.memory, _places(graph, costs)
    lives = _lives(graph, places)
    size = {t: map_bytes(graph.tensors[t], memory.layout) for t in lives}
    alive = [sum(size[t] for t, life in lives.items() if step in life) for step in range(len(graph.ops))]
    fits = [
        alive[step] + memory.buffers * _first_weights(cost, machine.weight_format) <= memory.sram_bytes
        for step, cost in enumerate(costs)
    ]
    staying = {t for t, life in lives.items() if all(fits[step] for step in life)}
    return Placement(frozenset(t for t in places if places[t] in staying), tuple(fits), tuple(alive))


def traffic(graph: Graph, op: Op, cost: Cost, fits: bool, resident: frozenset[int], machine: Machine) -> Traffic:
    """Main-memory traffic of one op whose surroundings fit in SRAM, or do not."""
    if cost.renames:
        return Traffic("none")
    weight_bytes = cost.weights.moved_bytes(machine.weight_format)
    inputs = [graph.tensors[t] for t in feature_maps(graph, op.inputs) if t not in resident]
    outputs = [graph.tensors[t] for t in op.outputs if t not in resident]
    if cost.loops is None or not (inputs or outputs):
        moved = _once(inputs, weight_bytes, outputs, machine.memory)
    elif fits:
        moved = tile_traffic(cost.loops, weight_bytes, replace(machine.memory, sram_bytes=UNLIMITED))
        moved = replace(moved, order="streamed", tile=None)
    else:
        moved = tile_traffic(cost.loops, weight_bytes, machine.memory)
    in_bytes, out_bytes = (sum(map_bytes(t, machine.memory.layout) for t in maps) for maps in (inputs, outputs))
    return replace(
        moved,
        weight_bytes=moved.weight_bytes + whole_bursts(cost.reread_bytes, machine.memory.dram_burst_bytes),
        input_bytes=moved.input_bytes if inputs else 0,
        output_bytes=moved.output_bytes if outputs else 0,
        first_bytes=ceil_div(in_bytes, cost.work.input_parts) + ceil_div(weight_bytes, cost.work.weight_parts),
        last_bytes=ceil_div(out_bytes, cost.work.output_parts),
    )


def _once(inputs: Sequence[Tensor], weight_bytes: int, outputs: Sequence[Tensor], memory: Memory) -> Traffic:
    def bus(sizes: Sequence[int]) -> int:
        return sum(whole_bursts(size, memory.dram_burst_bytes) for size in sizes)

    return Traffic(
        order="streamed" if inputs or outputs else "resident",
        input_bytes=bus([map_bytes(t, memory.layout) for t in inputs]),
        weight_bytes=bus([weight_bytes]),
        output_bytes=bus([map_bytes(t, memory.layout) for t in outputs]),
    )


def feature_maps(graph: Graph, indices: Sequence[int]) -> list[int]:
    """Those of ``indices`` that name tensors computed at run time, each once; state belongs to its op."""
    found = [i for i in dict.fromkeys(indices) if i >= 0 and graph.tensors[i].data is None]
    return [i for i in found if not graph.tensors[i].is_variable]


def _places(graph: Graph, costs: Sequence[Cost]) -> dict[int, int]:
    """Feature map -> the map whose place it shares: itself, unless an op renames another."""
    places = {t: t for t in feature_maps(graph, [*graph.inputs, *(t for op in graph.ops for t in op.outputs)])}
    for op, cost in zip(graph.ops, costs):
        if cost.renames:
            places[op.outputs[0]] = places.get(op.inputs[0], op.outputs[0])
    return places


def _lives(graph: Graph, places: dict[int, int]) -> dict[int, range]:
    """Place -> the ops during which it is occupied."""
    first = {places[t]: 0 for t in graph.inputs if t in places}
    last: dict[int, int] = {}
    for step, op in enumerate(graph.ops):
        for t in feature_maps(graph, [*op.inputs, *op.outputs]):
            first.setdefault(places[t], step)
            last[places[t]] = step
    for t in graph.outputs:
        if t in places:
            last[places[t]] = len(graph.ops) - 1
    return {t: range(first[t], last.get(t, first[t]) + 1) for t in first}


def _first_weights(cost: Cost, weight_format: str) -> int:
    return ceil_div(cost.weights.moved_bytes(weight_format), cost.work.weight_parts)
