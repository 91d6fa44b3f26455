"""Fuses RELU and RELU6 into the op in front of them.

Requires: a float graph, batch norms folded. Ensures: a stand-alone RELU or RELU6 follows a tensor that something else
reads too, that a grid rounds, or that comes from an op which cannot clamp. Tolerance: none, results are equal.
"""

from dataclasses import replace

from tflite_export.ir import Graph
from tflite_export.passes.draft import Draft, Links, rewrite

CLAMPING = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "SUB", "MUL")
"""Ops that rescale to the grid of their output and can clamp it at no cost."""


def fuse_activation(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _fuse)


def _fuse(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    if op.kind not in ("RELU", "RELU6") or op.inputs[0] not in links.maker:
        return None
    (x,), position = op.inputs, links.maker[op.inputs[0]]
    maker = graph.ops[position]
    bare = maker.options.get("fused_activation_function", "NONE") == "NONE" and not graph.tensors[x].quantization
    if maker.kind not in CLAMPING or not bare or links.only_reader(x) != k:
        return None
    draft = Draft(graph)
    options = {**maker.options, "fused_activation_function": op.kind}
    draft.ops[position] = replace(maker, options=options, outputs=op.outputs)
    del draft.ops[k]
    return draft.graph()
