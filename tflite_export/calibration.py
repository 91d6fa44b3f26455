"""Grids for the tensors that no Transform gave one: the range of their values on representative inputs.

    int8     scale = (max - min) / 255,          zero_point = round(-128 - min / scale)
    int16    scale = max(max, -min) / 32767,     zero_point = 0

with the range widened to hold 0. `observers` says which part of the range counts.

The float graph runs on the inputs, and each tensor that has a grid already is rounded to it on the way, so that the
ranges are those of the network as it will be deployed. Only ``roots`` are measured: results of ops that compute, and of
concatenations, whose grid then goes back to what is concatenated. All else follows from the grids of these.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tflite_export.datasets import Dataset as Dataset
from tflite_export.datasets import batches
from tflite_export.histogram import Histogram
from tflite_export.interpreter import Executor
from tflite_export.ir import Graph, Quantization
from tflite_export.observers import METHODS, Calibration
from tflite_export.observers import MeanSquaredError as MeanSquaredError
from tflite_export.observers import MinMax as MinMax
from tflite_export.observers import Percentile as Percentile
from tflite_export.passes import lstm
from tflite_export.passes.draft import Draft, Links
from tflite_export.passes.place_grids import JOINING, MOVERS, affine_grid, code_limits, moved, place_grids, raised
from tflite_export.passes.softmax_grid import SMALLEST_STEP

INSIDE = (
    "linear", "depthwise", "sum", "scaled", "moved", "clipped", "below", "exp", "decay", "above", "mean", "centered",
    "square", "variance", "inverse", "normal",
)  # fmt: skip
"""What tensors inside a layer are called: ``<path>/linear``, ``<path>/depthwise``, ``<path>/sum_1``."""


def roots(graph: Graph) -> list[int]:
    """The feature maps without a grid whose grid does not follow from others; the graph has no dead tensors."""
    makers = {t: op.kind for op in graph.ops for t in op.outputs}
    ends = [t for t in graph.inputs if graph.tensors[t].dtype == "float32"]  # token numbers have no grid
    unknown = [t for t in (*ends, *makers, *lstm.cells(graph)) if graph.tensors[t].quantization is None]
    joined = [t for t in unknown if makers.get(t) in JOINING]
    draft = Draft(graph)
    for t in joined:
        draft.change(t, quantization=affine_grid(0, 1))
    settled = place_grids(draft.graph()).tensors
    following = {t for k, op in enumerate(graph.ops) if op.kind in MOVERS or moved(graph, k) for t in op.outputs}
    open_ends = [t for t in unknown if settled[t].quantization is None and t not in following]
    return [t for t in unknown if t in joined or t in open_ends]


def calibrate(
    graph: Graph,
    dataset: Any,
    calibration: Calibration = METHODS["min_max"],
    *,
    bits: int = 8,
    power_of_two: bool = False,
    verbose: int = 0,
) -> Graph:
    """A float graph in which every root has a grid.

    Args:
        graph: The float graph.
        dataset: ``representative_dataset`` of ``convert``; not looked at where every root has a grid.
        calibration: Chooses the part of the range that a grid covers.
        bits: Of the grids: 8 or 16.
        power_of_two: Their steps are powers of two.
        verbose: 1 shows a progress bar.

    Raises:
        ValueError: Roots lack a grid and there is no data, or the data does not fit the inputs, or is not finite.
    """
    unknown = roots(graph)
    if not unknown:
        return graph
    if dataset is None:
        unknown = [t for t in unknown if t not in lstm.bounds(graph)]
        if not unknown:
            return graph
        raise ValueError(_missing(graph, unknown))
    seen = measured(graph, batches(graph, dataset, verbose), unknown, calibration.counts)
    draft = Draft(graph)
    for t, histogram in seen.items():
        grid = calibration.choose(histogram, lambda low, high: affine_grid(low, high, bits, power_of_two))
        grid = lstm.cell_grid(histogram.low, histogram.high) if t in lstm.cells(graph) else grid
        draft.change(t, quantization=_above_floor(graph, t, grid))
    return draft.graph()


def measured(
    graph: Graph, data: Iterable[Sequence[np.ndarray]], tensors: Sequence[int], counts: bool = False
) -> dict[int, Histogram]:
    """The values of each of ``tensors`` over ``data``, a list of inputs at a time: range, and if asked, ``counts``."""
    seen = {t: Histogram() for t in tensors}

    def observe(t: int, x: np.ndarray) -> np.ndarray:
        if t in seen:
            if not np.isfinite(x.min() + x.max()):
                raise ValueError(f"The values of '{graph.tensors[t].name}' must be finite on the representative data.")
            (seen[t].add if counts else seen[t].stretch)(x)
        grid = graph.tensors[t].quantization
        return x if grid is None else snapped(x, grid)

    executor = Executor(graph)
    for inputs in data:
        executor.run([observe(t, x) for t, x in zip(graph.inputs, inputs, strict=True)], observe)
    return seen


def snapped(x: np.ndarray, grid: Quantization) -> np.ndarray:
    """``x`` (float32) on the nearest level of the grid of a feature map."""
    scale, zero_point = grid.scale[0], np.float32(grid.zero_point[0])
    codes = np.clip(np.rint(x / scale) + zero_point, *code_limits(grid))
    return (codes - zero_point).astype(np.float32) * scale


def _above_floor(graph: Graph, t: int, grid: Quantization) -> Quantization:
    """``grid``, its step widened where a softmax reads it and LiteRT would abort; the softmax is uniform then."""
    readers = [graph.ops[k] for k in Links(graph).readers[t] if k >= 0]
    betas = [op.options.get("beta", 1.0) for op in readers if op.kind == "SOFTMAX"]
    floor = max((2 * SMALLEST_STEP / beta for beta in betas), default=0.0) if grid.bits == 8 else 0.0
    return grid if grid.scale[0] >= floor else replace(grid, scale=raised(np.array([floor], np.float32)))


def _missing(graph: Graph, unknown: Sequence[int]) -> str:
    names = [graph.tensors[t].name for t in unknown]
    shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return (
        f"Every feature map must have a grid. Received: no grid for the outputs of {shown}. Either train one: "
        'tfcompress.compress(model, {".*": {"output": tfcompress.LSQ(bits=8)}}), then tfcompress.calibrate(model, x); '
        "or measure one: convert(model, representative_dataset=x), x being some hundred typical inputs."
        + next((hint for name in names if (hint := _inside(name))), "")
    )


def _inside(name: str) -> str:
    """What to do where no transform can stand; nothing if one can."""
    layer, _, part = name.rpartition("/")
    if not layer or part.partition("_")[0] not in INSIDE:
        return ""
    return f" '{name}' lies inside a layer: measure it, or split the layer (Dense and Softmax, two convolutions)."
