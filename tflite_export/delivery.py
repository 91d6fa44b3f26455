"""Requested against delivered, code by code: a Keras model beside the file that was made from it.

    requested   the codes that ``deployed(layer, slot)`` lies on, in TFLite's layout
    delivered   the codes in the file

They must be equal in each output channel up to one factor: folding a batch norm moves a channel's sign into the codes
and its size into the scale, and a codebook lies in the file as whole multiples of one step.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from keras import layers

from tfcompress.compressed import Compressed, deployed
from tfcompress.grid import Grid
from tfcompress.structure.expand import expand
from tfcompress.structure.gates import gate_columns, gate_names
from tfcompress.structure.groups import MOVERS, core
from tfcompress.structure.slots import owner
from tfcompress.structure.trace import Call, Trace, trace
from tfcompress.transform import Transform
from tflite_export import measures
from tflite_export.ir import Graph, Op, Tensor
from tflite_export.promises import OUTPUT, deliver_width, request

LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"

LAYOUTS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "CONV_2D": (0, lambda kernel: kernel.transpose(3, 0, 1, 2)),
    "DEPTHWISE_CONV_2D": (3, lambda kernel: kernel.reshape(1, *kernel.shape[:2], -1)),
    "FULLY_CONNECTED": (0, lambda kernel: kernel.T),
    "GATHER": (0, lambda table: table),
    LSTM: (0, lambda kernel: kernel.T),
}
"""Op -> output-channel axis of its weight, and the way from Keras' axes to TFLite's."""

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From asked and found (channels, values) to where they differ."""

DROWNED = 2**29
"""Steps of a bias beside which a channel's weights do not matter; the exporter stores them coarser."""


def from_keras(graph: Graph, model: Any) -> list[dict[str, Any]]:
    """The requests of a model, each held against its tensor in the file."""
    steps = expand(trace(model))
    ranges = measures.code_ranges(graph)
    tensors = {tensor.name: index for index, tensor in enumerate(graph.tensors)}
    found = []
    for call in steps.calls:
        if isinstance(core(call.layer), Transform):
            found.append(_feature_map(graph, steps, call, tensors, ranges))
        elif isinstance(call.layer, Compressed):
            found += [weight for slot in call.layer.transforms for weight in _weights(graph, call, slot, tensors)]
    return found


def _feature_map(
    graph: Graph, steps: Trace, call: Call, tensors: Mapping[str, int], ranges: Mapping[int, tuple[int, int]]
) -> dict[str, Any]:
    grid = call.layer.grid(np.zeros([1, *(d or 1 for d in call.outputs[0].shape[1:])], np.float32))
    record = request(call.path, OUTPUT, call.outputs[0].name, None if grid is None else grid.bits)
    name = next((name for name in _upstream(steps, call) if name in tensors), None)
    if grid is None or name is None:
        return record
    record["tensor"] = name
    tensor = graph.tensors[tensors[name]]
    deliver_width(record, tensor, ranges.get(tensors[name]))
    step = np.float32(grid.scale).ravel()
    own = name == call.outputs[0].name  # else a Rescaling was folded, and the step with it
    if record["ok"] and own and (tensor.quantization is None or tensor.quantization.scale[0] != step[0]):
        record.update(ok=False, note=f"the step is not the model's, {step[0]:.9g}")
    return record


def _upstream(steps: Trace, call: Call) -> Iterator[str]:
    """The call's tensor and those before it that it may have been folded into, nearest first."""
    yield call.outputs[0].name
    while len(call.inputs) == 1:
        call = steps.producer[call.inputs[0]]
        yield call.outputs[0].name
        if not isinstance(core(call.layer), (*MOVERS, layers.Rescaling)):
            return


def _weights(graph: Graph, call: Call, slot: str, tensors: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The weight of a slot, or its gates, which Keras packs side by side and the file holds one by one."""
    data, grid = deployed(call.layer, slot)
    public = call.slots.get(slot, slot)
    asked = data if grid is None or grid.values is not None else grid.encode(data) - grid.zero_point
    gates = gate_names(owner(core(call.layer), slot)) if data.ndim > 1 else None
    parts = gate_columns(data.shape[-1], gates) if gates else {}
    for gate, columns in parts.items():
        yield _weight(graph, call.path, f"{public}/{gate}", asked[:, columns], grid, tensors)
    if not parts:
        yield _weight(graph, call.path, public, asked, grid, tensors)


def _weight(
    graph: Graph, path: str, public: str, asked: np.ndarray, grid: Grid | None, tensors: Mapping[str, int]
) -> dict[str, Any]:
    record = request(path, public, f"{path}/{public}", None if grid is None else grid.bits)
    record.update(requested_zeros=int(np.sum(asked == 0)), requested_distinct=len(np.unique(asked)))
    index = tensors.get(record["tensor"])
    if index is None or (found := graph.tensors[index].data) is None:
        return record
    record.update(delivered_zeros=int(np.sum(found == 0)), delivered_distinct=len(np.unique(found)))
    if grid is None:
        record.update(ok=True, note="", delivered_bits=measures.true_bits(found))
    else:
        deliver_width(record, graph.tensors[index], None, codebook=grid.values is not None)
    if record["ok"]:
        differs = _zeros_lost if grid is None else _codes_differ if grid.values is None else _values_differ
        if problem := _difference(graph, index, asked.astype(np.float64), differs):
            record.update(ok=False, note=problem)
    return record


def _difference(graph: Graph, index: int, asked: np.ndarray, differs: Rule) -> str:
    """What is wrong with the codes of a weight, given what was asked for in Keras' axes; empty if nothing is."""
    tensor = graph.tensors[index]
    op = next((op for op in graph.ops if index in op.inputs), None)
    if op is None or op.kind not in LAYOUTS or index not in _weights_of(op) or tensor.data is None:
        return f"it is stored for {op.kind if op else 'no op'}, not as a weight, and follows other steps there"
    axis, layout = LAYOUTS[op.kind]
    asked = layout(asked)
    if asked.shape != tensor.shape:
        return f"the model's is {list(asked.shape)}, the file's {list(tensor.shape)}"
    asked, found = (np.moveaxis(a, axis, 0).reshape(tensor.shape[axis], -1) for a in (asked, tensor.data))
    wrong = differs(asked, found.astype(np.float64)) & ~_silent(graph, op, tensor)[:, None]
    return f"{int(wrong.sum()):,} of {wrong.size:,} values are not the model's" if wrong.any() else ""


def _weights_of(op: Op) -> tuple[int, ...]:
    return {LSTM: op.inputs[1:9], "GATHER": op.inputs[:1]}.get(op.kind, op.inputs[1:2])


def _codes_differ(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Rows must be equal up to their sign."""
    sign = np.where(np.sum(asked * found, axis=1, keepdims=True) < 0, -1, 1)
    return found != sign * asked


def _values_differ(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Rows must be equal up to one factor each, the median ratio, which a few false values do not move."""
    ratios = np.divide(found, asked, out=np.full(found.shape, np.nan), where=asked != 0)
    ratios[np.all(asked == 0, axis=1)] = 0.0
    return np.abs(found - np.nanmedian(ratios, axis=1, keepdims=True) * asked) > 1e-3


def _zeros_lost(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What was pruned must be zero; the rest is not on a grid of the model's."""
    return (asked == 0) & (found != 0)


def _silent(graph: Graph, op: Op, weight: Tensor) -> np.ndarray:
    """Output channels whose weights do not matter: multiplied by a batch norm's zero, or drowned by the bias."""
    channels = weight.shape[LAYOUTS[op.kind][0]]
    bias = graph.tensors[op.inputs[2]].data if len(op.inputs) > 2 and op.kind != LSTM else None
    drowned = np.zeros(channels) if bias is None else np.abs(bias.astype(np.float64))
    scale = np.ones(1) if weight.quantization is None else weight.quantization.scale
    return (drowned >= DROWNED) | (np.broadcast_to(scale, (channels,)) <= np.finfo(np.float32).tiny)
