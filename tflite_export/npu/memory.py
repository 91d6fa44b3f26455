"""Which feature maps stay in SRAM.

A feature map lives from the op that makes it to the last that reads it. It stays in SRAM if, at every op of its
life, all feature maps alive then and the first weights of the op fit together:

    resident(t)  <=>  for all ops i in life(t):  sum of bytes alive at i + buffers * first weights of i <= SRAM

so SRAM is never promised twice, and more of it never evicts anything. What does not stay travels from and to main
memory around each op. Maps that an op only renames (RESHAPE) share one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tflite_export.ir import Graph, Tensor
from tflite_export.npu.loops import ceil_div
from tflite_export.npu.machine import Memory
from tflite_export.npu.weights import BITS, nbytes
from tflite_export.npu.work import Cost

BRICK = 16


@dataclass(frozen=True)
class Placement:
    """Attributes: which tensors stay in SRAM, and the bytes of all feature maps alive at each op."""

    resident: frozenset[int]
    alive_bytes: tuple[int, ...]


def place(graph: Graph, costs: Sequence[Cost], weight_format: str, memory: Memory) -> Placement:
    """Decides for every feature map of the graph."""
    place_of = _places(graph, costs)
    lives = _lives(graph, place_of)
    size = {t: map_bytes(graph.tensors[t], memory.layout) for t in lives}
    alive = [sum(size[t] for t, life in lives.items() if step in life) for step in range(len(graph.ops))]
    fits = [
        alive[step] + memory.buffers * _first_weights(cost, weight_format) <= memory.sram_bytes
        for step, cost in enumerate(costs)
    ]
    staying = {t for t, life in lives.items() if all(fits[step] for step in life)}
    return Placement(frozenset(t for t in place_of if place_of[t] in staying), tuple(alive))


def map_bytes(tensor: Tensor, layout: str) -> int:
    """Bytes that a feature map occupies; bricks round the channels up to 16."""
    if layout == "nhwc" or not tensor.shape:
        return nbytes(tensor)
    positions = 1
    for extent in tensor.shape[:-1]:
        positions *= extent
    return ceil_div(positions * ceil_div(tensor.shape[-1], BRICK) * BRICK * BITS[tensor.dtype], 8)


def feature_maps(graph: Graph, indices: Sequence[int]) -> list[int]:
    """Those of ``indices`` that name tensors computed at run time, each once."""
    return [i for i in dict.fromkeys(indices) if i >= 0 and graph.tensors[i].data is None]


def _places(graph: Graph, costs: Sequence[Cost]) -> dict[int, int]:
    """Feature map -> the map whose place in memory it shares (itself, unless an op renames another)."""
    places = {t: t for t in feature_maps(graph, [*graph.inputs, *(t for op in graph.ops for t in op.outputs)])}
    for op, cost in zip(graph.ops, costs):
        if cost.renames:
            places[op.outputs[0]] = places.get(op.inputs[0], op.outputs[0])
    return places


def _lives(graph: Graph, places: dict[int, int]) -> dict[int, range]:
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
