"""What feature maps hold, seen while the interpreter runs real data through the graph.

A zero of an integer feature map is its zero point; after a ReLU that is the lowest code, not 0. The values come from
the kernels that compute them, the channels that gates leave out from the run that leaves them out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tflite_export.interpreter.executor import Executor
from tflite_export.interpreter.parts import Part
from tflite_export.interpreter.prediction import encode
from tflite_export.interpreter.skipping import SkippingExecutor
from tflite_export.ir import Graph
from tflite_export.npu.memory import feature_maps
from tflite_export.npu.weights import zero_code

CHUNK = 8
"""Samples run at once."""


@dataclass(frozen=True)
class Activity:
    """Feature-map elements that each op read, over all samples, and how many of them were zero."""

    samples: int
    count: tuple[int, ...]
    zeros: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """One run.

    Attributes:
        values: Codes of every feature map, by tensor index.
        parts: What was computed of an op, by its position, if gates could switch off channels.
    """

    values: Mapping[int, np.ndarray]
    parts: Mapping[int, Part] = field(default_factory=dict)


def observe(
    graph: Graph,
    data: np.ndarray | Sequence[np.ndarray],
    each: Callable[[Sample], None] = lambda sample: None,
    skip_channels: bool = False,
) -> Activity:
    """Runs ``data`` (samples first; a list of arrays for several inputs; floats or codes) and counts.

    Args:
        graph: Integer graph.
        data: Samples.
        each: Called with every sample.
        skip_channels: Whether channels that gates switch off are left out.

    Raises:
        ValueError: Number, shape or type of the arrays do not fit the graph's inputs, or channels shall be left out
            of a graph that keeps state or was made for several samples.
    """
    arrays = _inputs(graph, data)
    count, zeros = np.zeros(len(graph.tensors), np.int64), np.zeros(len(graph.tensors), np.int64)
    maps = feature_maps(graph, [*graph.inputs, *(t for op in graph.ops for t in op.outputs)])
    for sample in _gated(graph, arrays) if skip_channels else _whole(graph, arrays):
        for index in maps:
            values = sample.values[index]
            count[index] += values.size
            zeros[index] += np.count_nonzero(values == zero_code(graph.tensors[index]))
        each(sample)
    reads = [feature_maps(graph, op.inputs) for op in graph.ops]
    return Activity(
        len(arrays[0]), tuple(int(count[r].sum()) for r in reads), tuple(int(zeros[r].sum()) for r in reads)
    )


def _whole(graph: Graph, arrays: Sequence[np.ndarray]) -> Iterator[Sample]:
    """Runs some samples at once; a graph that was made for several takes as many as one."""
    executor = Executor(graph)
    size = CHUNK if all(graph.tensors[t].shape[:1] == (1,) for t in graph.inputs) else len(arrays[0])
    for start in range(0, len(arrays[0]), size):
        batch = [array[start : start + size] for array in arrays]
        values = executor.run(batch, keep=True)
        runs = len(batch[0]) // graph.tensors[graph.inputs[0]].shape[0]
        maps = feature_maps(graph, list(values))
        for split in zip(*(_split(values[t], runs, graph.tensors[t].shape) for t in maps)):
            yield Sample(dict(zip(maps, split)))


def _split(value: np.ndarray, runs: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """One array a run; what is the same in all of them is not there for each."""
    return [value] * runs if value.shape == shape else np.split(value, runs)


def _gated(graph: Graph, arrays: Sequence[np.ndarray]) -> Iterator[Sample]:
    executor = SkippingExecutor(graph)
    for n in range(len(arrays[0])):
        yield Sample(*executor.run([array[n : n + 1] for array in arrays]))


def _inputs(graph: Graph, data: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    given = [np.asarray(a) for a in ([data] if isinstance(data, np.ndarray) else data)]
    if len(given) != len(graph.inputs):
        raise ValueError(f"`data` must hold one array for each of {len(graph.inputs)} inputs. Received: {len(given)}")
    wanted = [graph.tensors[i] for i in graph.inputs]
    for array, tensor in zip(given, wanted):
        if array.ndim != len(tensor.shape) or array.shape[1:] != tensor.shape[1:] or len(array) != len(given[0]):
            raise ValueError(
                f"`data` for input `{tensor.name}` must have shape (samples, {', '.join(map(str, tensor.shape[1:]))}), "
                f"with the same samples for all inputs. Received: shape {array.shape}"
            )
    if not len(given[0]):
        raise ValueError("`data` must hold at least one sample. Received: none")
    return [encode(array, tensor) for array, tensor in zip(given, wanted)]
