"""Inserts QUANTIZE where an op that moves numbers has inputs on another grid than its output.

The input is brought onto the grid of the output. What averages does so on the grid of its input, and the mean is
brought over: a mean that fits the output may come of numbers that do not. So is a slice: that is fewer numbers; and
what is read from a table: that is constant.

Requires: every tensor of numbers has a grid. Ensures: ``MOVERS`` have one grid on both sides.
Tolerance: half a step of the grid of the output.
"""

from dataclasses import replace

from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft, Links, rewrite
from tflite_export.passes.place_grids import AVERAGING, moved

SHRINKING = {**dict.fromkeys(AVERAGING, "mean"), "STRIDED_SLICE": "slice", "GATHER": "rows"}
"""Ops behind which the numbers are brought over, and what those are called before."""


def requantize(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _insert)


def _insert(graph: Graph, links: Links, k: int) -> Graph | None:
    op, (y, *_) = graph.ops[k], graph.ops[k].outputs
    target = graph.tensors[y].quantization
    strangers = [t for t in moved(graph, k) if graph.tensors[t].quantization != target]
    if not strangers:
        return None
    draft, x = Draft(graph), strangers[0]
    if op.kind in SHRINKING:
        result, name = graph.tensors[y], SHRINKING[op.kind]
        pooled = draft.add(replace(result, name=f"{result.name}/{name}", quantization=graph.tensors[x].quantization))
        draft.ops[k : k + 1] = [replace(op, outputs=(pooled,)), Op("QUANTIZE", (pooled,), (y,))]
        return draft.graph()
    before = (j for j in links.readers[x] if graph.ops[j].kind == "QUANTIZE" and 0 <= j < k)
    made = [graph.ops[j].outputs[0] for j in before]
    there = [t for t in made if graph.tensors[t].quantization == target]
    if there:
        new = there[0]
    else:
        name = f"{graph.tensors[y].name}/{graph.tensors[x].name}"
        new = draft.add(replace(graph.tensors[x], name=name, quantization=target))
    draft.ops[k] = replace(op, inputs=tuple(new if t == x else t for t in op.inputs))
    if not there:
        draft.ops.insert(k, Op("QUANTIZE", (x,), (new,)))
    return draft.graph()
