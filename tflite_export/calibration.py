"""Grids for the tensors that no Transform gave one: the range of their values on representative inputs.

    scale = (max - min) / 255,    zero_point = round(-128 - min / scale),    the range widened to hold 0

The float graph runs on the inputs, and each tensor that has a grid already is rounded to it on the way, so that the
ranges are those of the network as it will be deployed. Only ``roots`` are measured: results of ops that compute, and of
concatenations, whose grid then goes back to what is concatenated. All else follows from the grids of these.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tflite_export.interpreter import Executor
from tflite_export.ir import Graph, Quantization
from tflite_export.passes.draft import Draft, Links
from tflite_export.passes.place_grids import MOVERS, affine_grid, place_grids
from tflite_export.passes.softmax_grid import SMALLEST_STEP

Range = tuple[float, float]

INSIDE = ("linear", "depthwise", "sum")
"""What tensors inside a layer are called: ``<path>/linear``, ``<path>/depthwise``, ``<path>/sum_1``."""

BATCH = 32
"""Samples that go through the network together if the data comes as one array."""


def roots(graph: Graph) -> list[int]:
    """The feature maps without a grid whose grid does not follow from others; the graph has no dead tensors."""
    makers = {t: op.kind for op in graph.ops for t in op.outputs}
    unknown = [t for t in (*graph.inputs, *makers) if graph.tensors[t].quantization is None]
    joined = [t for t in unknown if makers.get(t) == "CONCATENATION"]
    draft = Draft(graph)
    for t in joined:
        draft.change(t, quantization=affine_grid(0, 1))
    settled = place_grids(draft.graph()).tensors
    open_ends = [t for t in unknown if settled[t].quantization is None and makers.get(t) not in MOVERS]
    return [t for t in unknown if t in joined or t in open_ends]


def calibrate(graph: Graph, dataset: Any) -> Graph:
    """A float graph in which every root has a grid.

    Args:
        graph: The float graph.
        dataset: ``representative_dataset`` of ``convert``; not looked at where every root has a grid.

    Raises:
        ValueError: Roots lack a grid and there is no data, or the data does not fit the inputs, or is not finite.
    """
    unknown = roots(graph)
    if not unknown:
        return graph
    if dataset is None:
        raise ValueError(_missing(graph, unknown))
    ranges = measured(graph, batches(graph, dataset), unknown)
    draft = Draft(graph)
    for t, (low, high) in ranges.items():
        draft.change(t, quantization=_above_floor(graph, t, affine_grid(low, high)))
    return draft.graph()


def measured(graph: Graph, data: Iterable[Sequence[np.ndarray]], tensors: Sequence[int]) -> dict[int, Range]:
    """Lowest and highest value of each of ``tensors`` over ``data``, a list of inputs at a time."""
    ranges: dict[int, Range] = dict.fromkeys(tensors, (np.inf, -np.inf))

    def observe(t: int, x: np.ndarray) -> np.ndarray:
        if t in ranges:
            low, high = float(x.min()), float(x.max())
            if not np.isfinite(low + high):
                raise ValueError(f"The values of '{graph.tensors[t].name}' must be finite on the representative data.")
            ranges[t] = min(low, ranges[t][0]), max(high, ranges[t][1])
        grid = graph.tensors[t].quantization
        return x if grid is None else snapped(x, grid)

    executor = Executor(graph)
    for inputs in data:
        executor.run([observe(t, x) for t, x in zip(graph.inputs, inputs, strict=True)], observe)
    return ranges


def snapped(x: np.ndarray, grid: Quantization) -> np.ndarray:
    """``x`` (float32) on the nearest level of a grid of int8."""
    scale, zero_point = grid.scale[0], np.float32(grid.zero_point[0])
    codes = np.clip(np.rint(x / scale) + zero_point, -128 if grid.low is None else grid.low, 127)
    return (codes - zero_point).astype(np.float32) * scale


def batches(graph: Graph, dataset: Any) -> Iterator[list[np.ndarray]]:
    """The inputs of the graph in float32, some samples at a time.

    Args:
        graph: The float graph.
        dataset: An array with the samples first; a callable as TFLite takes it, which returns an iterable; or an
            iterable. Items are arrays (one input), lists of arrays (in the order of the inputs) or dicts by input name.

    Raises:
        ValueError: An item does not fit the inputs, or there is none.
    """
    items = dataset() if callable(dataset) else dataset
    if isinstance(items, np.ndarray):
        items = np.array_split(items, range(BATCH, len(items), BATCH)) if len(items) else []
    number = None
    for number, item in enumerate(items):
        yield _inputs(graph, item, number)
    if number is None:
        raise ValueError("`representative_dataset` must yield at least one sample. Received: none")


def _inputs(graph: Graph, item: Any, number: int) -> list[np.ndarray]:
    names = list(graph.signature[1]) if graph.signature else [graph.tensors[t].name for t in graph.inputs]
    if isinstance(item, Mapping):
        item = [item[name] for name in names if name in item]
    arrays = [np.asarray(x, np.float32) for x in (item if isinstance(item, (list, tuple)) else [item])]
    expected = [(None, *graph.tensors[t].shape[1:]) for t in graph.inputs]
    fits = len(arrays) == len(expected) and all(
        x.shape[1:] == shape[1:] and x.ndim == len(shape) and len(x) == len(arrays[0]) > 0
        for x, shape in zip(arrays, expected, strict=False)
    )
    if not fits:
        shapes = ", ".join(f"{name} {shape}" for name, shape in zip(names, expected, strict=True))
        raise ValueError(
            f"Each item of `representative_dataset` must hold the inputs {shapes}, None being any number of "
            f"samples, and no labels. Received: item {number} with shapes {[x.shape for x in arrays]}"
        )
    return arrays


def _above_floor(graph: Graph, t: int, grid: Quantization) -> Quantization:
    """``grid``, its step widened where a softmax reads it and LiteRT would abort; the softmax is uniform then."""
    readers = [graph.ops[k] for k in Links(graph).readers[t] if k >= 0]
    betas = [op.options.get("beta", 1.0) for op in readers if op.kind == "SOFTMAX"]
    floor = max((2 * SMALLEST_STEP / beta for beta in betas), default=0.0)
    return grid if grid.scale[0] >= floor else replace(grid, scale=np.array([floor], np.float32))


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


Dataset = Callable[[], Iterable[Any]] | Iterable[Any] | np.ndarray | None
"""What ``convert`` takes as ``representative_dataset``."""
