"""Drops MINIMUMs that clip nothing, since their constant is the highest code of the type.

Requires: an integer graph. Ensures: none is left behind an op that makes its input. Results are bit-identical.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import STORAGE, Graph
from tflite_export.passes.draft import Draft, Links, rewrite


def drop_clamps(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _drop)


def _drop(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    if op.kind != "MINIMUM" or graph.tensors[op.inputs[1]].data is None:
        return None
    (x, bound), (y,) = op.inputs, op.outputs
    constant, made, clipped = np.asarray(graph.tensors[bound].data), graph.tensors[x], graph.tensors[y]
    idle = made.dtype != "float32" and np.all(constant == np.iinfo(STORAGE[made.dtype]).max)
    if not idle or x not in links.maker or links.readers[x] != [k] or made.shape != clipped.shape:
        return None
    draft = Draft(graph)
    maker = graph.ops[links.maker[x]]
    draft.ops[links.maker[x]] = replace(maker, outputs=tuple(y if t == x else t for t in maker.outputs))
    del draft.ops[k]
    return draft.graph()
