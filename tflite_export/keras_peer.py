"""Keras as a peer of ``verify``: every exported tensor, computed by the layers between it and the tensors before it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from tfcompress.structure.expand import expand
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import Value, trace
from tflite_export.flatbuffer.widths import KEY, parse
from tflite_export.interpreter.executor import Executor
from tflite_export.interpreter.prediction import decode, encode
from tflite_export.ir import Graph, Op, Tensor
from tflite_export.passes.linear import PLACES, operands
from tflite_export.promises import asked
from tflite_export.verification import PeerFailed


def keras_peer(graph: Graph, model: Any) -> Callable[[Mapping[int, np.ndarray]], dict[int, np.ndarray]]:
    """Prepares the comparison with a model.

    Tensors are matched by name: an exported one is called like the Value that it stands for.

    Returns:
        ``run(ours)``: from our tensors, by index and with the batch first, to those that Keras computes out of them.

    Raises:
        ValueError: The model's graph cannot be read.
        PeerFailed: (from ``run``) no tensor can be compared.
    """
    steps = expand(trace(model))
    values = {value.name: value for call in steps.calls for value in call.outputs}
    pairs = {k: values[t.name] for k, t in enumerate(graph.tensors) if t.data is None and t.name in values}
    made = [index for op in graph.ops for index in op.outputs if index in pairs]

    def run(ours: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        known = {value: _shaped(decode(ours[k], graph.tensors[k]), value) for k, value in pairs.items()}
        theirs = {}
        for index in made:
            evaluate = replay(steps, {value: array for value, array in known.items() if value is not pairs[index]})
            try:
                result = keras.ops.convert_to_numpy(evaluate(pairs[index]))
            except ValueError:  # nothing that is known lies before it: a tensor of the border
                continue
            theirs[index] = encode(result, graph.tensors[index]).reshape(ours[index].shape)
        if not theirs:
            raise PeerFailed(f"no tensor of the file comes from a layer of model '{model.name}'")
        return theirs

    return run


def _shaped(array: np.ndarray, value: Value) -> np.ndarray:
    """``array`` in the shape of the Value, which the file may store flat."""
    return array if None in value.shape[1:] else array.reshape(-1, *value.shape[1:])


def allowed_steps(graph: Graph, model: Any = None) -> dict[int, int]:
    """By how many steps each tensor may differ from Keras.

    One step, since float and integer arithmetic meet ties from different sides. Weights without a grid in Keras were
    rounded in the export as well: such a weight is off by half a step ``s_w`` at most and meets an input of 255 steps
    ``s_x`` at most, so each product may move the result by ``255 s_x s_w / (2 s_y)`` steps; 65535 for int16, whose
    multipliers have 16 bits, which is another step at full range.

    What recurrent layers deliver is not listed: the integers go round many times, and each time they are rounded, where
    Keras rounds nothing. How far they are from Keras is told, not judged.

    Functions of int16 are drawn by straight lines in LiteRT: how far those are from the function counts, too.
    """
    trained = {f"{layer}/{slot}" for layer, slot, _ in asked(graph)}
    wide = {index for index, tensor in enumerate(graph.tensors) if tensor.dtype == "int16"}
    told = set() if model is None else recurrent(graph, model)
    bent = _bent(graph)
    return {
        index: 1 + (index in wide) + _rounding(graph, op, index, trained) + bent.get(index, 0)
        for op in graph.ops
        for index in op.outputs
        if index not in told
    }


def recurrent(graph: Graph, model: Any) -> set[int]:
    """What Keras can compute only by going through a recurrent layer, from the last tensors that both know."""
    paths = tuple(parse(graph.metadata.get(KEY, b"{}")).get("recurrent", []))
    inside = tuple(f"{path}/" for path in paths)
    shared = {value.name for call in expand(trace(model)).calls for value in call.outputs}
    found: set[int] = set()
    for op in graph.ops:
        open_ends = found.intersection(index for index in op.inputs if graph.tensors[index].name not in shared)
        for index in op.outputs:
            name = graph.tensors[index].name
            if open_ends or name in paths or name.startswith(inside):
                found.add(index)
    return found


def _rounding(graph: Graph, op: Op, output: int, trained: set[str]) -> int:
    source, kernel = operands(op)[:2] if op.kind in PLACES else (*op.inputs, -1, -1)[:2]
    weight = graph.tensors[kernel] if kernel >= 0 else None
    if weight is None or weight.data is None or weight.name in trained:
        return 0
    x, y = graph.tensors[source], graph.tensors[output]
    s_x, s_w, s_y = (_step(tensor) for tensor in (x, weight, y))
    products = weight.data.size / max(1, y.shape[-1] if y.shape else 1)
    steps = 65535 if x.dtype == "int16" else 255
    return int(np.ceil(products * steps * s_x * s_w / (2 * s_y))) if s_x and s_w and s_y else 0


DRAWN = ("EXP", "GELU", "TANH")
"""Functions whose int16 kernels interpolate between some values of them."""


def _bent(graph: Graph) -> dict[int, int]:
    """By how many steps, at most, functions on int16 and what is made of them by QUANTIZE are off beside rounding."""
    found: dict[int, int] = {}
    for op in graph.ops:
        x, y = (graph.tensors[t] for t in (op.inputs[0], op.outputs[0]))
        if op.kind in DRAWN and y.dtype == "int16":
            found[op.outputs[0]] = _deviation(op, x, y)
        elif op.kind == "QUANTIZE" and op.inputs[0] in found:
            found[op.outputs[0]] = int(np.ceil(found[op.inputs[0]] * _step(x) / _step(y)))
    return found


def _deviation(op: Op, x: Tensor, y: Tensor) -> int:
    """How far an op on int16 is from its function on any code, in steps of its result."""
    codes = np.arange(-(2**15), 2**15).astype(np.int16)[None]
    ends = [replace(t, shape=codes.shape) for t in (x, y)]
    floats = [replace(t, dtype="float32", quantization=None) for t in ends]
    drawn, exact = _alone(op, ends, codes), _alone(op, floats, decode(codes, x))
    return int(np.abs(drawn.astype(np.int64) - encode(np.nan_to_num(exact), y)).max())


def _alone(op: Op, ends: Sequence[Tensor], fed: np.ndarray) -> np.ndarray:
    """What the op by itself makes of ``fed``."""
    graph = Graph(tuple(ends), (replace(op, inputs=(0,), outputs=(1,)),), (0,), (1,))
    return Executor(graph).run([fed])[1]


def _step(tensor: Tensor) -> float:
    return float(tensor.quantization.scale.max()) if tensor.quantization else 0.0
