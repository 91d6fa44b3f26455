"""Tools of the passes: who makes and who reads a tensor, a graph under change, and how rules are applied."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from tflite_export.ir import Graph, Op, Quantization, Tensor

OUTSIDE = -1
"""Stands in ``Links.readers`` for the reader of a graph output."""


class Links:
    """Who makes (``maker``: tensor -> op) and who reads (``readers``: tensor -> ops) the tensors of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.maker = {tensor: k for k, op in enumerate(graph.ops) for tensor in op.outputs}
        self.readers: dict[int, list[int]] = {tensor: [] for tensor in range(len(graph.tensors))}
        for k, op in enumerate(graph.ops):
            for tensor in {t for t in op.inputs if t >= 0}:
                self.readers[tensor].append(k)
        for tensor in graph.outputs:
            self.readers[tensor].append(OUTSIDE)

    def only_reader(self, tensor: int) -> int | None:
        """The op that alone reads ``tensor``; None if there are several, or the graph delivers it."""
        readers = self.readers[tensor]
        return readers[0] if len(readers) == 1 and readers[0] != OUTSIDE else None


class Draft:
    """A graph that grows or changes; ``graph()`` freezes it."""

    def __init__(self, graph: Graph | None = None) -> None:
        self.start = graph or Graph((), (), (), ())
        self.tensors = list(self.start.tensors)
        self.ops = list(self.start.ops)
        self.inputs = list(self.start.inputs)
        self.outputs = list(self.start.outputs)

    def add(self, tensor: Tensor) -> int:
        """Appends a tensor and returns its index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, data: Any, quantization: Quantization | None = None) -> int:
        """Appends a constant of the type that ``data`` has."""
        data = np.asarray(data)
        return self.add(Tensor(name, data.shape, str(data.dtype), quantization, data))

    def change(self, tensor: int, **fields: Any) -> None:
        """Replaces fields of a tensor."""
        self.tensors[tensor] = replace(self.tensors[tensor], **fields)

    def redirect(self, old: int, new: int) -> None:
        """Lets everyone who read ``old`` read ``new``."""
        self.ops = [replace(op, inputs=tuple(new if t == old else t for t in op.inputs)) for op in self.ops]
        self.outputs = [new if t == old else t for t in self.outputs]

    def graph(self) -> Graph:
        """The graph as it stands; a signature follows the inputs and outputs by position."""
        signature = self.start.signature
        if signature:
            key, arguments, results = signature
            arguments = {name: self.inputs[self.start.inputs.index(t)] for name, t in arguments.items()}
            results = {name: self.outputs[self.start.outputs.index(t)] for name, t in results.items()}
            signature = key, arguments, results
        return replace(
            self.start,
            tensors=tuple(self.tensors),
            ops=tuple(self.ops),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            signature=signature,
        )


Rule = Callable[[Graph, Links, int], Graph | None]
"""``rule(graph, links, k)`` rewrites around op ``k``, or returns None where it does not match."""

Pass = Callable[[Graph], Graph]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Applies ``rule`` until it matches nowhere, then drops what nobody reads any more.

    It goes over the ops from the first to the last, stays where it matched, and starts again if it matched at all.
    """
    changed = True
    while changed:
        changed, k, links = False, 0, Links(graph)
        while k < len(graph.ops):
            new = rule(graph, links, k)
            if new is None:
                k += 1
            else:
                changed, graph, links = True, new, Links(new)
    return remove_dead(graph)


def sequence(*passes: Pass) -> Pass:
    """One pass that applies ``passes`` in order."""

    def composed(graph: Graph) -> Graph:
        for step in passes:
            graph = step(graph)
        return graph

    return composed


def remove_dead(graph: Graph) -> Graph:
    """Drops ops whose results nobody reads, and tensors that no op and no border names.

    Requires: nothing. Ensures: the inputs stay, all of them; results are bit-identical.
    """
    alive, ops = set(graph.outputs), []
    for op in reversed(graph.ops):
        if alive.intersection(op.outputs):
            alive.update(op.inputs, op.outputs, op.intermediates)
            ops.append(op)
    alive = (alive | set(graph.inputs)) - {-1}
    number = {old: new for new, old in enumerate(sorted(alive))} | {-1: -1}

    def renumbered(tensors: Iterable[int]) -> tuple[int, ...]:
        return tuple(number[t] for t in tensors)

    draft = Draft(graph)
    draft.tensors = [graph.tensors[t] for t in sorted(alive)]
    draft.ops = [
        Op(op.kind, renumbered(op.inputs), renumbered(op.outputs), op.options, renumbered(op.intermediates))
        for op in reversed(ops)
    ]
    draft.inputs, draft.outputs = list(renumbered(graph.inputs)), list(renumbered(graph.outputs))
    return draft.graph()
