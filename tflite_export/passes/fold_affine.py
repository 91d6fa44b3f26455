"""Folds a multiplication or addition by constants into the linear op in front of it.

    (W x + b) * g + c  =  (W g) x + (b g + c),        per output channel

So batch norm and rescaling vanish. The codes of a quantised weight stay: ``g`` goes into the channel's scale, its sign
into the codes.

Requires: a float graph. Ensures: no MUL or ADD by a constant stands behind a linear op whose result nothing else reads
and no grid rounds. Tolerance: float32 rounding, a few parts in 2**-23 of the largest term of each sum.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft, Links, rewrite
from tflite_export.passes.linear import CHANNEL_AXIS, is_linear, operands, scaled, with_operands


def fold_affine(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _fold)


def is_affine(graph: Graph, op: Op) -> bool:
    """Whether ``op`` is a MUL or ADD of a tensor and a constant per channel."""
    return op.kind in ("MUL", "ADD") and graph.tensors[op.inputs[1]].data is not None


def _fold(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    x = op.inputs[0]
    if not is_affine(graph, op) or x not in links.maker:
        return None
    linear = graph.ops[links.maker[x]]
    bare = linear.options.get("fused_activation_function", "NONE") == "NONE" and not graph.tensors[x].quantization
    if not (bare and is_linear(graph, linear) and links.only_reader(x) == k):
        return None
    draft = Draft(graph)
    source, *constants = operands(linear)
    weight, bias = (graph.tensors[t] for t in constants)
    constant = np.asarray(graph.tensors[op.inputs[1]].data, np.float64)
    offsets = np.asarray(bias.data, np.float64)
    if op.kind == "MUL":
        weight = scaled(weight, constant, CHANNEL_AXIS[linear.kind])
        offsets = offsets * constant
    else:
        offsets = offsets + constant
    bias = replace(bias, data=offsets.astype(np.float32))
    linear = with_operands(linear, source, draft.add(weight), draft.add(bias))
    draft.ops[links.maker[x]] = replace(linear, outputs=op.outputs)
    del draft.ops[k]
    return draft.graph()
