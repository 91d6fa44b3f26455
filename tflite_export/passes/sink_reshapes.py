"""Moves RESHAPEs behind the element-wise ops that follow them, and makes one of two in a row.

    relu(reshape(W x + b) * g)  =  reshape(relu((W x + b) * g)),        ``g`` per channel of the last axis

A Conv1D is a CONV_2D between two RESHAPEs; so its batch norm and activation reach the convolution, and the RESHAPEs
between two such layers meet and vanish.

Requires: a float graph. Ensures: no RESHAPE that keeps the last axis stands in front of a MUL or ADD by a constant, a
RELU or a RELU6 that alone reads it, unless a grid rounds between them. Results are bit-identical.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft, Links, rewrite
from tflite_export.passes.fold_affine import is_affine

MOST_AXES = 4
"""Dimensions of tensors that every kernel broadcasts."""


def sink_reshapes(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _sink)


def _sink(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    if op.kind != "RESHAPE" or graph.tensors[op.outputs[0]].quantization:
        return None
    x, (y,) = op.inputs[0], op.outputs
    reader = links.only_reader(y)
    if reader is None:
        return None
    behind = graph.ops[reader]
    if behind.kind == "RESHAPE":
        draft = Draft(graph)
        draft.ops[reader] = replace(behind, inputs=(x, *behind.inputs[1:]))
        del draft.ops[k]
        return draft.graph()
    before, after = graph.tensors[x].shape, graph.tensors[y].shape
    broadcasts = before[-1:] == after[-1:] and len(before) <= max(MOST_AXES, len(after))
    if x not in links.maker or not broadcasts or not _is_elementwise(graph, behind):
        return None
    return _swapped(graph, k, reader)


def _is_elementwise(graph: Graph, op: Op) -> bool:
    return op.kind in ("RELU", "RELU6") or is_affine(graph, op)


def _swapped(graph: Graph, k: int, reader: int) -> Graph:
    draft, op, behind = Draft(graph), graph.ops[k], graph.ops[reader]
    (z,) = behind.outputs
    result, shape = graph.tensors[z], graph.tensors[op.inputs[0]].shape
    early = draft.add(replace(result, name=f"{result.name}/image", shape=shape))
    operand = draft.constant(f"{result.name}/shape", np.array(result.shape, np.int32))
    draft.ops[k] = replace(behind, inputs=(op.inputs[0], *behind.inputs[1:]), outputs=(early,))
    draft.ops[reader] = Op("RESHAPE", (early, operand), (z,), {"new_shape": result.shape})
    return draft.graph()
