"""Proves exported integers: our interpreter against LiteRT, and against the Keras model they came from.

LiteRT's reference kernels define the integers, so every intermediate tensor must equal theirs bit for bit.
XNNPACK is what applications get by default; it rounds otherwise, and its outputs are told in LSB. Keras computes
each layer from what the file delivered in front of it, so that a difference shows in the layer that causes it. One
step of the tensor's grid is allowed there, since float and integer arithmetic meet ties from different sides, and
where weights had no grid in Keras and were rounded in the export, what that rounding can cause at most.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tflite_export.flatbuffer import read
from tflite_export.interpreter.executor import Executor
from tflite_export.interpreter.prediction import encode
from tflite_export.ir import Graph
from tflite_export.litert import LiteRT, LiteRTError
from tflite_export.verification import KERAS, REFERENCE, XNNPACK, Difference, PeerFailed, Row, Verification

Arrays = Mapping[int, np.ndarray]
Peer = Callable[[Sequence[np.ndarray], Arrays], Arrays]
"""From the inputs of a batch, and our tensors, to the peer's tensors."""

BATCH = 8
"""Samples compared at a time: keeps all tensors of a large network in reasonable memory."""

FLOAT_TOLERANCE = 1e-5
"""Of the largest value of a float tensor: sums in float depend on their order."""

FAR = 10**9
"""Steps between numbers that have no distance: NaN, infinity, tensors of different shape."""


def verify(blob: bytes, x: Any, keras_model: Any = None) -> Verification:
    """Compares a file with LiteRT's reference kernels, XNNPACK and, if given, the Keras model.

    Args:
        blob: The flatbuffer, one sample a run as ``convert`` makes it.
        x: Inputs, the batch first: float images, which are put on the input's grid, or codes of the input's type.
            A list of arrays if the model has several inputs.
        keras_model: The model that was exported. Tensors are matched by name.

    Returns:
        The comparison. A peer that refuses the file or ends its process is noted in it.

    Raises:
        ValueError: ``blob`` or ``x`` is not usable.
    """
    graph = read(blob)
    executor = Executor(graph)
    inputs = _inputs(graph, x)
    comparison = _Comparison(graph)
    with LiteRT("reference") as reference, LiteRT("xnnpack") as xnnpack:
        exact = {index: 0 for op in graph.ops for index in op.outputs}
        peers: list[tuple[str, Peer, Mapping[int, int]]] = [
            (REFERENCE, _litert(reference, blob), exact),
            (XNNPACK, _litert(xnnpack, blob), {}),
        ]
        if keras_model is not None:
            peers.append((KERAS, *_keras(graph, keras_model)))
        for batch in _batches(inputs, BATCH if executor.batchable else 1):
            ours = executor.run(batch, keep=True)
            comparison.count(ours)
            for peer in peers:
                comparison.ask(*peer, batch, ours)
    rows, names = tuple(comparison.rows.values()), tuple(name for name, *_ in peers)
    return Verification(rows, names, comparison.failures, len(inputs[0]))


class _Comparison:
    """What is known so far, batch by batch."""

    def __init__(self, graph: Graph) -> None:
        self.rows = {index: Row(graph.tensors[index].name, op.kind) for op in graph.ops for index in op.outputs}
        self.failures: dict[str, str] = {}
        decoded = [(op.outputs[0], graph.tensors[op.inputs[0]]) for op in graph.ops if op.kind == "DEQUANTIZE"]
        self.steps = {index: float(t.quantization.scale[0]) for index, t in decoded if t.quantization is not None}

    def count(self, ours: Arrays) -> None:
        """Counts the values of a batch."""
        for index, row in self.rows.items():
            row.elements += ours[index].size

    def ask(self, name: str, peer: Peer, allowed: Mapping[int, int], batch: Sequence[np.ndarray], ours: Arrays) -> None:
        """Compares a batch with a peer that has not failed yet."""
        if name in self.failures:
            return
        try:
            theirs = peer(batch, ours)
        except (LiteRTError, PeerFailed) as error:
            self.failures[name] = " ".join(str(error).split())
            return
        for index in self.rows.keys() & theirs.keys():
            difference = self.rows[index].peers.setdefault(name, Difference(allowed.get(index)))
            distances = _lsb(ours[index].ravel(), theirs[index].ravel(), self.steps.get(index))
            difference.differing += int(np.count_nonzero(distances))
            difference.max_lsb = max(difference.max_lsb, int(distances.max(initial=0)))


def _inputs(graph: Graph, x: Any) -> list[np.ndarray]:
    """One array per input of the graph, in its type, all with the same number of samples."""
    arrays = [np.asarray(array) for array in (x if isinstance(x, (list, tuple)) else [x])]
    if len(arrays) != len(graph.inputs):
        raise ValueError(f"The model has {len(graph.inputs)} inputs. Received: {len(arrays)} arrays")
    for array, tensor in zip(arrays, (graph.tensors[index] for index in graph.inputs)):
        if tensor.shape[:1] != (1,) or array.shape[1:] != tensor.shape[1:] or len(array) != len(arrays[0]):
            shape = ", ".join(map(str, tensor.shape[1:]))
            raise ValueError(f"Input '{tensor.name}' takes arrays of shape (N, {shape}). Received: {array.shape}")
    if not len(arrays[0]):
        raise ValueError("There must be at least one sample. Received: none")
    return [encode(array, graph.tensors[index]) for array, index in zip(arrays, graph.inputs)]


def _batches(inputs: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(inputs[0]), size):
        yield [array[start : start + size] for array in inputs]


def _litert(runtime: LiteRT, blob: bytes) -> Peer:
    def run(inputs: Sequence[np.ndarray], ours: Arrays) -> Arrays:
        runs = [runtime.run(blob, [x[k : k + 1] for x in inputs]) for k in range(len(inputs[0]))]
        return {i: np.concatenate([np.atleast_1d(run[i]) for run in runs]) for i in runs[0]}

    return run


def _keras(graph: Graph, model: Any) -> tuple[Peer, Mapping[int, int]]:
    from tflite_export.keras_peer import allowed_steps, keras_peer

    run = keras_peer(graph, model)
    return lambda inputs, ours: run(ours), allowed_steps(graph, model)


def _lsb(a: np.ndarray, b: np.ndarray, step: float | None = None) -> np.ndarray:
    """Distance in steps: of the grid for integers; of ``step``, or of ``FLOAT_TOLERANCE``, for floats."""
    if a.shape != b.shape:
        return np.full(max(a.size, b.size), FAR)
    if a.dtype.kind != "f":
        return np.abs(a.astype(np.int64) - b.astype(np.int64))
    if step is None:
        step = FLOAT_TOLERANCE * float(np.abs(b).max(initial=np.finfo(np.float32).tiny, where=np.isfinite(b)))
        slack = 1.0
    else:
        slack = 1e-3
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    distance = np.abs(a.astype(np.float64) - b, where=~same, out=np.zeros(a.shape)) / step
    return np.nan_to_num(np.ceil(np.maximum(distance - slack, 0)), nan=FAR, posinf=FAR).astype(np.int64)
