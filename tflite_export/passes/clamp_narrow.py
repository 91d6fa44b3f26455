"""Keeps feature maps of fewer bits than their type has within their codes.

Such a map lies at the top of its type, from ``Quantization.low`` on, and integer arithmetic saturates at the top by
itself. At the bottom a fused RELU does it where ``low`` is the zero point, else a MAXIMUM with the lowest code.

Requires: an integer graph. Ensures: every tensor holds codes from its ``low`` on. Codes that were there before are
unchanged, so results are bit-identical where no code was below.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import STORAGE, Graph, Op, Quantization
from tflite_export.passes.draft import Draft, Links, rewrite
from tflite_export.passes.fuse_activation import CLAMPING
from tflite_export.passes.place_grids import moved

CLAMPED = ("RELU", "RELU6")
"""Activations below whose zero point no code comes."""


BITS = {"int8": 8, "int16": 16}


def clamp_narrow(graph: Graph) -> Graph:
    """The pass."""
    draft = Draft(graph)
    for position, t in enumerate(graph.inputs):
        if _low(graph, t) is not None:
            raw = _unclamped(draft, t)
            draft.inputs[position] = raw
            draft.ops.insert(0, _maximum(draft, raw, t))
    return rewrite(draft.graph(), _clamp)


def _clamp(graph: Graph, links: Links, k: int) -> Graph | None:
    op = graph.ops[k]
    y, low = op.outputs[0], _low(graph, op.outputs[0])
    if low is None or _is_clamped(graph, k, low):
        return None
    draft = Draft(graph)
    fused = op.options.get("fused_activation_function", "NONE")
    if op.kind in CLAMPING and fused == "NONE" and low == _grid(graph, y).zero_point[0]:
        draft.ops[k] = replace(op, options={**op.options, "fused_activation_function": "RELU"})
    else:
        raw = _unclamped(draft, y)
        draft.ops[k : k + 1] = [replace(op, outputs=(raw,)), _maximum(draft, raw, y)]
    return draft.graph()


def _is_clamped(graph: Graph, k: int, low: int) -> bool:
    """Whether the output of op ``k`` is at least ``low`` by itself."""
    op = graph.ops[k]
    zero_point = _grid(graph, op.outputs[0]).zero_point[0]
    rectified = op.kind in CLAMPED or op.options.get("fused_activation_function") in CLAMPED
    same = [_is_from(graph, t, low) for t in moved(graph, k)]
    return _is_inserted(graph, op) or (rectified and low <= zero_point) or (bool(same) and all(same))


def _is_from(graph: Graph, t: int, low: int) -> bool:
    """Whether what is moved begins at ``low``, or is a table without a lower code."""
    data = graph.tensors[t].data
    return _low(graph, t) == low if data is None else bool(data.min(initial=low) >= low)


def _is_inserted(graph: Graph, op: Op) -> bool:
    """Whether ``op`` compares with the lowest code already."""
    return op.kind == "MAXIMUM" and any(t.data is not None for t in (graph.tensors[k] for k in op.inputs))


def _unclamped(draft: Draft, t: int) -> int:
    """A tensor like ``t`` that may hold every code of its type."""
    tensor = draft.tensors[t]
    grid = None if tensor.quantization is None else replace(tensor.quantization, bits=BITS[tensor.dtype], low=None)
    return draft.add(replace(tensor, name=f"{tensor.name}/unclamped", quantization=grid))


def _maximum(draft: Draft, x: int, y: int) -> Op:
    tensor = draft.tensors[y]
    lowest: np.ndarray = np.array([tensor.quantization.low if tensor.quantization else None], STORAGE[tensor.dtype])
    return Op("MAXIMUM", (x, draft.constant(f"{tensor.name}/low", lowest, tensor.quantization)), (y,))


def _low(graph: Graph, t: int) -> int | None:
    grid = graph.tensors[t].quantization
    return None if grid is None or graph.tensors[t].data is not None else grid.low


def _grid(graph: Graph, t: int) -> Quantization:
    grid = graph.tensors[t].quantization
    if grid is None:
        raise ValueError(f"Tensor '{graph.tensors[t].name}' must have a grid.")
    return grid
