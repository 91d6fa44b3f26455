"""Zeros in the feature maps, counted while the interpreter runs real data through the graph.

A zero of an integer feature map is its zero point; after a ReLU that is the lowest code, not 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tflite_export.interpreter.executor import Executor
from tflite_export.interpreter.prediction import encode
from tflite_export.ir import Graph
from tflite_export.npu.memory import feature_maps
from tflite_export.npu.weights import zero_code

CHUNK = 32
"""Samples run at once."""


@dataclass(frozen=True)
class Activity:
    """Feature-map elements that each op read, over all samples, and how many of them were zero."""

    samples: int
    count: tuple[int, ...]
    zeros: tuple[int, ...]


def observe(graph: Graph, data: np.ndarray | Sequence[np.ndarray]) -> Activity:
    """Runs ``data`` (samples first; a list of arrays for several inputs; floats or codes) and counts.

    Raises:
        ValueError: Number, shape or type of the arrays do not fit the graph's inputs.
    """
    arrays = _inputs(graph, data)
    count, zeros = np.zeros(len(graph.tensors), np.int64), np.zeros(len(graph.tensors), np.int64)

    def tally(index: int, values: np.ndarray) -> np.ndarray:
        count[index] += values.size
        zeros[index] += np.count_nonzero(values == zero_code(graph.tensors[index]))
        return values

    executor = Executor(graph)
    for start in range(0, len(arrays[0]), CHUNK):
        batch = [array[start : start + CHUNK] for array in arrays]
        for index, values in zip(graph.inputs, batch):
            tally(index, values)
        executor.run(batch, observe=tally)
    reads = [feature_maps(graph, op.inputs) for op in graph.ops]
    return Activity(
        len(arrays[0]), tuple(int(count[r].sum()) for r in reads), tuple(int(zeros[r].sum()) for r in reads)
    )


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
