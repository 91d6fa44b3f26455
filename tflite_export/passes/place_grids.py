"""Spreads grids over tensors that hold the same numbers.

Some ops move numbers without rescaling them (``MOVERS``): in TFLite their inputs and their output share one grid.
Known grids go forward to outputs without one, and backward to inputs without one that nothing else reads: rounding
before a move is rounding behind it. Not so through AVERAGE_POOL_2D, whose input may leave the range of its mean. The
output of a CONCATENATION takes the grid of its inputs, or where they differ one that covers them all; a RELU's that of
its input, on which zero and all positive levels lie.

Requires: a float graph. Ensures: no rule above applies any more. Tolerance: none, float results are equal.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.ir import Graph, Quantization
from tflite_export.passes.draft import Draft, Links, rewrite

MOVERS = ("RESHAPE", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "CONCATENATION")
"""Ops whose inputs and output share one grid."""

BACKWARD = ("RESHAPE", "PAD", "MAX_POOL_2D", "CONCATENATION")
"""Ops behind which rounding is the same as in front of them."""


def place_grids(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _place)


def moved(graph: Graph, k: int) -> list[int]:
    """The tensors that op ``k`` moves; none if it computes."""
    op = graph.ops[k]
    return [t for t in op.inputs if graph.tensors[t].data is None] if op.kind in MOVERS else []


def affine_grid(low: float, high: float) -> Quantization:
    """The grid of 8 bits that covers ``low`` to ``high`` and has 0.0 on it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255 if high > low else 1 / 255)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    zero_point = np.clip(round(-128 - low / float(scale)), -128, 127)
    return Quantization(scale.reshape(1), np.array([zero_point], np.int64))


def _place(graph: Graph, links: Links, k: int) -> Graph | None:
    op, inputs = graph.ops[k], moved(graph, k)
    if op.kind in ("RELU", "RELU6"):
        inputs = list(op.inputs)
    if not inputs:
        return None
    grids = {t: graph.tensors[t].quantization for t in (*inputs, *op.outputs)}
    target, sources = grids[op.outputs[0]], [grid for t in inputs if (grid := grids[t])]
    draft = Draft(graph)
    if target is None and len(sources) == len(inputs):
        draft.change(op.outputs[0], quantization=_common(sources))
        return draft.graph()
    open_ends = [t for t in inputs if grids[t] is None and links.only_reader(t) is not None]
    if target is None or not open_ends or op.kind not in BACKWARD:
        return None
    for tensor in open_ends:
        draft.change(tensor, quantization=target)
    return draft.graph()


def _common(grids: Sequence[Quantization]) -> Quantization:
    """The grid that covers ``grids``; one of them if that one does and is 8 bits wide."""
    if all(grid == grids[0] for grid in grids):
        return grids[0]
    ends = [limits(grid) for grid in grids]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    covering = [g for g, end in zip(grids, ends, strict=True) if end == (low, high) and g.bits == 8]
    return covering[0] if covering else affine_grid(low, high)


def limits(grid: Quantization) -> tuple[float, float]:
    """Lowest and highest value on a grid of int8."""
    low = -128 if grid.low is None else grid.low
    scale, zero_point = float(grid.scale[0]), int(grid.zero_point[0])
    return (low - zero_point) * scale, (127 - zero_point) * scale
