"""Removes RESHAPEs that change no shape, and merges one RESHAPE behind another.

Requires: nothing. Ensures: no RESHAPE keeps its input's shape and grid, unless it leads from an input of the graph
straight to an output; none reads what another alone delivers to it on the same grid. Results are bit-identical.
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
    if not _share_grid(graph, x, y):
        return None
    if graph.tensors[x].shape == graph.tensors[y].shape:
        return _without(graph, links, k, x, y)
    if x not in links.maker:
        return None
    maker = graph.ops[links.maker[x]]
    if maker.kind != "RESHAPE" or links.only_reader(x) != k or not _share_grid(graph, maker.inputs[0], x):
        return None
    draft = Draft(graph)
    draft.ops[k] = replace(op, inputs=(maker.inputs[0], *op.inputs[1:]))
    return draft.graph()


def _share_grid(graph: Graph, x: int, y: int) -> bool:
    return graph.tensors[x].quantization == graph.tensors[y].quantization


def _without(graph: Graph, links: Links, k: int, x: int, y: int) -> Graph | None:
    """Makes one tensor of ``x`` and ``y``; it keeps the later name if nothing else reads ``x``."""
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
        draft.change(x, name=graph.tensors[y].name)
    draft.redirect(y, x)
    return draft.graph()
