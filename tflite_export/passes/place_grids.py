"""Spreads grids over tensors that hold the same numbers.

Some ops move numbers without rescaling them (``MOVERS``): in TFLite their inputs and their output share one grid.
Known grids go forward to outputs without one, and backward to inputs without one that nothing else reads: rounding
before a move is rounding behind it. Not so through AVERAGE_POOL_2D and RESIZE_BILINEAR, whose input may leave the range
of its means. The output of a CONCATENATION, MAXIMUM or MINIMUM takes the grid of its inputs, or where they differ one
that covers them all; a RELU's that of its input, on which zero and all positive levels lie. A product with zeros and
ones (``binary.py``) lies on the grid of the other factor.

Requires: a float graph. Ensures: no rule above applies any more. Tolerance: none, float results are equal.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.ir import Graph, Quantization
from tflite_export.passes import lstm
from tflite_export.passes.binary import switched
from tflite_export.passes.draft import Draft, Links, rewrite

JOINING = ("CONCATENATION", "MAXIMUM", "MINIMUM")
"""Ops that bring several tensors onto one grid."""

BACKWARD = (
    "RESHAPE", "PAD", "MAX_POOL_2D", "TRANSPOSE", "STRIDED_SLICE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "GATHER",
    *JOINING,
)  # fmt: skip
"""Ops behind which rounding is the same as in front of them."""

AVERAGING = ("AVERAGE_POOL_2D", "RESIZE_BILINEAR")
"""Ops that deliver means of their input's codes."""

MOVERS = (*BACKWARD, *AVERAGING)
"""Ops whose inputs and output share one grid."""


WHOLE = ("RESHAPE", "REVERSE_V2")
"""Ops behind which there are all the numbers."""


def place_grids(graph: Graph) -> Graph:
    """The pass."""
    return rewrite(graph, _place)


def moved(graph: Graph, k: int) -> list[int]:
    """The tensors that op ``k`` moves; none if it computes."""
    op = graph.ops[k]
    if op.kind == "GATHER":
        return list(op.inputs[:1])  # the table; token numbers have no grid
    if op.kind in MOVERS:
        return [t for t in op.inputs if graph.tensors[t].data is None]
    other = switched(graph, op)
    return [] if other is None else [other]


def affine_grid(low: float, high: float, bits: int = 8, power_of_two: bool = False) -> Quantization:
    """The grid that covers ``low`` to ``high`` and has 0.0 on it.

    Args:
        low: Lowest value.
        high: Highest value.
        bits: 8, with a zero point; or 16, whose zero point is 0.
        power_of_two: The step is the next larger power of two.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    span, steps = (high - low, 255) if bits == 8 else (max(high, -low), 32767)
    scale = np.maximum(np.array([span / steps if span else 1 / steps], np.float32), np.finfo(np.float32).tiny)
    if power_of_two:
        scale = raised(scale)
    zero_point = np.clip(round(-128 - low / float(scale[0])), -128, 127) if bits == 8 else 0
    return Quantization(scale, np.array([zero_point], np.int64), bits=bits)


def raised(scale: np.ndarray) -> np.ndarray:
    """The smallest powers of two that are not below ``scale`` (float32)."""
    fraction, exponent = np.frexp(scale)
    return np.ldexp(np.float32(1.0), exponent - (fraction == 0.5)).astype(np.float32)


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
    if target is None or op.kind not in (*BACKWARD, "MUL"):
        return None
    open_ends = [t for t in open_ends if not _goes_round(graph, links, t) or (op.kind in WHOLE and target.bits == 8)]
    if not open_ends:
        return None
    for tensor in open_ends:
        draft.change(tensor, quantization=target)
    return draft.graph()


def _goes_round(graph: Graph, links: Links, t: int) -> bool:
    """Whether a tensor also goes back into the op that made it, so that the grid of a part of it would not do."""
    return t in links.maker and graph.ops[links.maker[t]].kind == lstm.KIND


def _common(grids: Sequence[Quantization]) -> Quantization:
    """The grid that covers ``grids``; one of them if that one does and is as wide as its type."""
    if all(grid == grids[0] for grid in grids):
        return grids[0]
    ends, full = [limits(grid) for grid in grids], 8 if grids[0].bits <= 8 else 16
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    covering = [g for g, end in zip(grids, ends, strict=True) if end == (low, high) and g.bits == full]
    shifts = all(np.frexp(grid.scale[0])[0] == 0.5 for grid in grids)
    return covering[0] if covering else affine_grid(low, high, full, shifts)


def limits(grid: Quantization) -> tuple[float, float]:
    """Lowest and highest value on the grid of a feature map."""
    low, high = code_limits(grid)
    scale, zero_point = float(grid.scale[0]), int(grid.zero_point[0])
    return (low - zero_point) * scale, (high - zero_point) * scale


def code_limits(grid: Quantization) -> tuple[int, int]:
    """Lowest and highest code of a feature map: int8 up to 8 bits, else int16."""
    half = 2**7 if grid.bits <= 8 else 2**15
    return -half if grid.low is None else grid.low, half - 1
