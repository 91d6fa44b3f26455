"""Takes the excess out of multipliers that drive the smallest sum to the upper end of what can follow.

    y = clip(round(m * sum), 0, top)        m > top  ->  m = top - 1/4

``sum`` is a whole number: where one already comes to ``top``, a gentler ``m`` changes nothing, and fits the fixed-point
arithmetic of every runtime. ``top`` is the highest code of the output above zero, or the constant of a MINIMUM that
alone reads it. Below zero a fused RELU clips.

Requires: grids on all feature maps and weights. Ensures: no such multiplier is left. The integer results are the same;
those of the float graph are not, which only the quantised graph is made from.
"""

from dataclasses import replace

import numpy as np

from tflite_export.ir import Graph, Quantization
from tflite_export.passes.draft import Draft, Links
from tflite_export.passes.linear import CHANNEL_AXIS, is_linear, operands, scaled, with_operands
from tflite_export.passes.place_grids import code_limits
from tflite_export.passes.quantize import MAX_BIAS

SPARE = 0.25
"""So far below the top that every way of rounding comes to it, and the multiplier of a single bit stays below 1."""


def gentle_slopes(graph: Graph) -> Graph:
    """The pass."""
    draft, links = Draft(graph), Links(graph)
    for k, op in enumerate(graph.ops):
        if not is_linear(graph, op) or op.options.get("fused_activation_function") != "RELU":
            continue
        x, kernel, offset = operands(op)
        weight, bias, y = (graph.tensors[t] for t in (kernel, offset, op.outputs[0]))
        grids = graph.tensors[x].quantization, weight.quantization, y.quantization
        if None in grids:
            continue
        offsets = np.abs(np.asarray(bias.data, np.float64))
        factor = _factors(*grids, offsets, _top(graph, links, op.outputs[0]))  # type: ignore[arg-type]
        if np.any(factor != 1):
            factor = np.broadcast_to(factor, bias.shape)
            data = (np.asarray(bias.data, np.float64) * factor).astype(np.float32)
            constants = scaled(weight, factor, CHANNEL_AXIS[op.kind]), replace(bias, data=data)
            draft.ops[k] = with_operands(draft.ops[k], x, *map(draft.add, constants))
    return draft.graph()


def _factors(x: Quantization, weight: Quantization, y: Quantization, offsets: np.ndarray, top: int) -> np.ndarray:
    """What weights and bias of each output channel are to be multiplied by, at most 1.

    Beside a bias that would leave int32, ``quantize`` widens the step of the weights; those of a channel that
    does not look at its input are zero.
    """
    widened = np.maximum(weight.scale.astype(np.float64), offsets / (float(x.scale[0]) * MAX_BIAS))
    multiplier = float(x.scale[0]) * widened / float(y.scale[0])
    return np.where(multiplier > top, (top - SPARE) / multiplier, 1.0)


def _top(graph: Graph, links: Links, y: int) -> int:
    """The highest code that counts, above the zero point."""
    grid = graph.tensors[y].quantization
    if grid is None:
        raise ValueError(f"Tensor '{graph.tensors[y].name}' must have a grid.")
    highest = code_limits(grid)[1] - int(grid.zero_point[0])
    reader = links.only_reader(y)
    if reader is None or graph.ops[reader].kind != "MINIMUM":
        return highest
    bounds = [graph.tensors[t].data for t in graph.ops[reader].inputs]
    found = [int(np.rint(np.max(b) / float(grid.scale[0]))) for b in bounds if b is not None]
    return min([highest, *found])
