"""Removes RESHAPEs that change neither shape nor grid.

The tensor behind keeps its name, unless somebody else reads the one in front.

Requires: nothing. Ensures: no such RESHAPE is left, unless it leads from an input of the graph straight to an output.
Results are bit-identical.
"""

from dataclasses import replace

from tflite_export.ir import Graph
from tflite_export.passes.draft import Draft, Links, rewrite


def drop_reshapes(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _drop)


def _drop(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    if op.kind != "RESHAPE":
        return None
    x, (y,) = op.inputs[0], op.outputs
    before, after = graph.tensors[x], graph.tensors[y]
    if before.shape != after.shape or before.quantization != after.quantization:
        return None
    if x in graph.inputs and y in graph.outputs:
        return None
    draft = Draft(graph)
    del draft.ops[k]
    if links.only_reader(x) == k and x in links.maker:
        maker = graph.ops[links.maker[x]]
        outputs = tuple(y if t == x else t for t in maker.outputs)
        draft.ops[links.maker[x]] = replace(maker, outputs=outputs)
        return draft.graph()
    if links.only_reader(x) == k:
        draft.change(x, name=after.name)
    draft.redirect(y, x)
    return draft.graph()
