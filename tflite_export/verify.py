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
from tflite_export.interpreter.prediction import decode, encode
from tflite_export.ir import Graph
from tflite_export.litert import LiteRT, LiteRTError
from tflite_export.requests import asked
from tflite_export.verification import KERAS, REFERENCE, XNNPACK, Difference, Row, Verification, VerificationError

__all__ = ["Verification", "VerificationError", "verify"]

Arrays = Mapping[int, np.ndarray]
Peer = Callable[[Sequence[np.ndarray], Arrays], Arrays]
"""From the inputs of a batch, and our tensors, to the peer's tensors."""

BATCH = 8
"""Samples compared at a time: keeps all tensors of a large network in reasonable memory."""

FLOAT_TOLERANCE = 1e-5
"""Of the largest value of a float tensor: sums in float depend on their order."""


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
    rows = {i: Row(graph.tensors[i].name, op.kind) for op in graph.ops for i in op.outputs}
    failures: dict[str, str] = {}
    with LiteRT("reference") as reference, LiteRT("xnnpack") as xnnpack:
        peers: dict[str, Peer] = {REFERENCE: _litert(reference, blob), XNNPACK: _litert(xnnpack, blob)}
        if keras_model is not None:
            peers[KERAS] = _keras(graph, keras_model)
        allowed = {REFERENCE: dict.fromkeys(rows, 0), KERAS: _rounding(graph) if keras_model is not None else {}}
        for batch in _batches(inputs, BATCH if executor.batchable else 1):
            ours = executor.run(batch, keep=True)
            for index, row in rows.items():
                row.elements += ours[index].size
            for name in [name for name in peers if name not in failures]:
                try:
                    _compare(name, peers[name](batch, ours), ours, rows, allowed.get(name, {}))
                except (LiteRTError, UnmatchedModel) as error:
                    failures[name] = str(error)
    return Verification(tuple(rows.values()), tuple(peers), failures, len(inputs[0]))


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


class UnmatchedModel(ValueError):
    """The Keras model is not the one that the file was made from."""


def _keras(graph: Graph, model: Any) -> Peer:
    """Keras as a peer: each tensor that has a Value's name, computed from the nearest such tensors before it."""
    import keras

    from tfcompress.structure.expand import expand
    from tfcompress.structure.replay import replay
    from tfcompress.structure.trace import trace

    steps = expand(trace(model))
    values = {value.name: value for call in steps.calls for value in call.outputs}
    computed = {i for op in graph.ops for i in op.outputs}
    pairs = {i: values[t.name] for i, t in enumerate(graph.tensors) if t.data is None and t.name in values}

    def run(inputs: Sequence[np.ndarray], ours: Arrays) -> Arrays:
        known = {value: _shaped(value, decode(ours[i], graph.tensors[i])) for i, value in pairs.items()}
        if not known:
            raise UnmatchedModel(f"no tensor of the file has a name of model '{model.name}'")
        theirs = {}
        for index in sorted(computed & set(pairs)):
            target = pairs[index]
            evaluate = replay(steps, {value: array for value, array in known.items() if value is not target})
            try:
                result = keras.ops.convert_to_numpy(evaluate(target))
            except ValueError as error:
                raise UnmatchedModel(str(error)) from error
            theirs[index] = encode(result, graph.tensors[index]).reshape(ours[index].shape)
        return theirs

    return run


def _shaped(value: Any, array: np.ndarray) -> np.ndarray:
    return array if None in value.shape[1:] else array.reshape(-1, *value.shape[1:])


def _rounding(graph: Graph) -> dict[int, int]:
    """By how many steps a tensor may differ from Keras: one, and what rounding the weights in the export can cause.

    A weight is off by half a step ``s_w`` at most and meets an input of 255 steps ``s_x`` at most, so each product
    moves the result by ``255 s_x s_w / (2 s_y)`` steps at most.
    """
    trained = {f"{layer}/{slot}" for layer, slot, _ in asked(graph)}
    steps = {}
    for op in graph.ops:
        x, w = (graph.tensors[index] for index in (*op.inputs, *op.inputs)[:2])
        for index in op.outputs:
            y, caused = graph.tensors[index], 0.0
            if w.data is not None and w.name not in trained and x.quantization and w.quantization and y.quantization:
                step = x.quantization.scale[0] * w.quantization.scale.max() / y.quantization.scale[0]
                caused = float(255 * step / 2) * w.data.size / y.shape[-1]
            steps[index] = 1 + int(np.ceil(caused))
    return steps


def _compare(peer: str, theirs: Arrays, ours: Arrays, rows: Mapping[int, Row], allowed: Mapping[int, int]) -> None:
    for index, row in rows.items():
        if index in theirs:
            a, b = ours[index].ravel(), theirs[index].ravel()
            difference = row.peers.setdefault(peer, Difference(allowed=allowed.get(index)))
            lsb = _lsb(a, b)
            difference.differing += int(np.count_nonzero(lsb))
            difference.max_lsb = max(difference.max_lsb, int(lsb.max(initial=0)))


def _lsb(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance in steps: of the grid for integers, of ``FLOAT_TOLERANCE`` for floats."""
    if a.shape != b.shape:
        return np.full(max(a.size, b.size), np.iinfo(np.int64).max)
    if a.dtype.kind != "f":
        return np.abs(a.astype(np.int64) - b.astype(np.int64))
    largest = float(np.abs(b).max(initial=np.finfo(np.float32).tiny, where=np.isfinite(b)))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    distance = np.abs(a.astype(np.float64) - b, where=~same, out=np.zeros(a.shape)) / (FLOAT_TOLERANCE * largest)
    return np.nan_to_num(distance, nan=1e9, posinf=1e9).astype(np.int64)
