"""Replaces a PAD in front of a VALID convolution by SAME, where TFLite's SAME adds the same border.

    SAME adds  p = max((ceil(n / s) - 1) s + (k - 1) d + 1 - n, 0)  zeros to n pixels, floor(p / 2) of them in front

Requires: nothing. Ensures: no PAD feeds such a convolution alone. Results are bit-identical.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft, Links, rewrite

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
"""Ops with a weight whose axes 1 and 2 run over rows and columns."""


def fuse_padding(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _fuse)


def _fuse(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    if op.kind not in CONVOLUTIONS or op.options.get("padding") != "VALID" or op.inputs[0] not in links.maker:
        return None
    pad = graph.ops[links.maker[op.inputs[0]]]
    if pad.kind != "PAD" or links.only_reader(pad.outputs[0]) != k or not _is_same(graph, pad, op):
        return None
    if graph.tensors[pad.inputs[0]].quantization != graph.tensors[pad.outputs[0]].quantization:
        return None
    draft = Draft(graph)
    draft.ops[k] = replace(op, inputs=(pad.inputs[0], *op.inputs[1:]), options={**op.options, "padding": "SAME"})
    return draft.graph()


def _is_same(graph: Graph, pad: Op, op: Op) -> bool:
    """Whether the PAD adds what SAME would."""
    shape, weight = graph.tensors[pad.inputs[0]].shape, graph.tensors[op.inputs[1]].shape
    amounts = np.asarray(graph.tensors[pad.inputs[1]].data)
    expected = [(0, 0)]
    for axis, side in enumerate("hw", 1):
        stride, dilation = op.options[f"stride_{side}"], op.options[f"dilation_{side}_factor"]
        size, window = shape[axis], (weight[axis] - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        expected.append((total // 2, total - total // 2))
    return np.array_equal(amounts, [*expected, (0, 0)])
