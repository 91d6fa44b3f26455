"""Turns multiplications and additions by constants that could not be folded into one 1x1 DEPTHWISE_CONV_2D.

    g x + c  =  depthwise(x),        weight g on the grid of step |g| / 64, bias c

The code is 64 and not 127, since then a power of two stays a power of two: the step is exact. What is no image
(batch, height, width, channels) becomes one with RESHAPEs around.

Requires: a float graph; ``fold_affine`` first, or nothing folds. Ensures: no MUL or ADD by a constant is left.
Tolerance: float32 rounding.
"""

import numpy as np

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.passes.draft import Draft, Links, rewrite
from tflite_export.passes.fold_affine import is_affine
from tflite_export.passes.linear import TINY

CODE = 64
"""The size of every weight of such a convolution."""

OPTIONS = {
    "padding": "VALID", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1,
    "depth_multiplier": 1, "fused_activation_function": "NONE",
}  # fmt: skip


def affine_to_depthwise(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _convert)


def _convert(graph: Graph, links: Links, k: int) -> Graph | None:
    if not is_affine(graph, graph.ops[k]):
        return None
    chain = _chain(graph, links, k)
    x, (y,) = graph.ops[k].inputs[0], graph.ops[chain[-1]].outputs
    draft, ops, result = Draft(graph), [], graph.tensors[y]
    weight, bias = _constants(draft, result.name, *_composed(graph, chain))
    image = (1, int(np.prod(result.shape[1:-1])), 1, result.shape[-1])
    if len(result.shape) == 4:
        ops.append(Op("DEPTHWISE_CONV_2D", (x, weight, bias), (y,), OPTIONS))
    else:
        before, after = (draft.add(Tensor(f"{result.name}/{part}", image, "float32")) for part in ("image", "linear"))
        ops.append(_reshape(draft, x, before))
        ops.append(Op("DEPTHWISE_CONV_2D", (before, weight, bias), (after,), OPTIONS))
        ops.append(_reshape(draft, after, y))
    draft.ops = [op for n, op in enumerate(draft.ops) if n not in chain[:-1]]
    position = draft.ops.index(graph.ops[chain[-1]])
    draft.ops[position : position + 1] = ops
    return draft.graph()


def _chain(graph: Graph, links: Links, k: int) -> list[int]:
    """Op ``k`` and the affine ops behind it that alone read what the one before delivers, unrounded."""
    chain = [k]
    while True:
        (y,) = graph.ops[chain[-1]].outputs
        reader = links.only_reader(y)
        if reader is None or graph.tensors[y].quantization or not is_affine(graph, graph.ops[reader]):
            return chain
        chain.append(reader)


def _composed(graph: Graph, chain: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset (channels,) of the ops of a chain together."""
    factor, offset = np.ones(1), np.zeros(1)
    for k in chain:
        op = graph.ops[k]
        constant = np.asarray(graph.tensors[op.inputs[1]].data, np.float64)
        if op.kind == "MUL":
            factor, offset = factor * constant, offset * constant
        else:
            factor, offset = factor + 0 * constant, offset + constant
    return factor.astype(np.float32), (offset + 0 * factor).astype(np.float32)


def _constants(draft: Draft, name: str, factor: np.ndarray, offset: np.ndarray) -> tuple[int, int]:
    scale = np.maximum(np.abs(factor) / CODE, TINY)
    grid = Quantization(scale, np.zeros(len(scale), np.int64), axis=3)
    weight = draft.constant(f"{name}/kernel", factor.reshape(1, 1, 1, -1), grid)
    return weight, draft.constant(f"{name}/bias", offset)


def _reshape(draft: Draft, x: int, y: int) -> Op:
    shape = draft.tensors[y].shape
    operand = draft.constant(f"{draft.tensors[y].name}/shape", np.array(shape, np.int32))
    return Op("RESHAPE", (x, operand), (y,), {"new_shape": shape})
