"""Shifts biases by what quantisation changes in the mean of each output channel, layer after layer.

    b'  =  b  +  E[W x + b]  -  E[Q(W) x' + b]

``x`` is what the float network delivers to the layer, ``x'`` what the quantised network does whose earlier layers are
corrected already. Both means are taken over samples and pixels, in front of the activation.

Reference: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
https://arxiv.org/abs/1906.04721, appendix D, empirical bias correction. Differs from the source in one run for all
layers instead of one run each: every sample is at the same layer at the same time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from tflite_export.calibration import snapped
from tflite_export.interpreter import Executor
from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft
from tflite_export.passes.linear import CHANNEL_AXIS, codes_of, decoded, is_linear, operands, with_operands

MOST_SAMPLES = 256
MEMORY = 2**30
"""Bytes that the samples may take inside the network, all together."""


def enough(graph: Graph, data: Iterable[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """The first batches of ``data``, as many as are worth it and fit into memory."""
    kept: list[list[np.ndarray]] = []
    for inputs in data:
        kept.append(inputs)
        if sum(len(batch[0]) for batch in kept) >= _wanted(graph):
            break
    return kept


def _wanted(graph: Graph) -> int:
    """So many samples are used."""
    widest = max(int(np.prod(tensor.shape)) for tensor in graph.tensors if tensor.data is None)
    return max(1, min(MOST_SAMPLES, MEMORY // (4 * 4 * widest)))  # float32, some four tensors alive at a time


def correct_bias(graph: Graph, samples: Sequence[Sequence[np.ndarray]]) -> Graph:
    """The graph with corrected biases.

    Args:
        graph: A float graph with grids on all feature maps and on the weights of linear ops; weights may lie beside
            theirs.
        samples: Batches of inputs; the first few hundred samples are used.

    Raises:
        ValueError: There are no samples, or the graph mixes samples.
    """
    if not samples:
        raise ValueError("`bias_correction` needs representative samples. Received: none")
    inputs = [np.concatenate(parts)[: _wanted(graph)] for parts in zip(*samples, strict=True)]
    split, linear = _split(graph)
    if not Executor(split).batchable:
        raise ValueError("`bias_correction` needs a model that never mixes samples. Received: one that does")
    wanted = _means(split, inputs, linear)
    shifts = _shifts(split, inputs, wanted)
    draft = Draft(graph)
    for k, op in enumerate(graph.ops):
        if linear.get(k) in shifts:
            x, weight, bias = operands(op)
            moved = (np.asarray(graph.tensors[bias].data, np.float64) + shifts[linear[k]]).astype(np.float32)
            draft.ops[k] = with_operands(op, x, weight, draft.add(replace(graph.tensors[bias], data=moved)))
    return draft.graph()


def _split(graph: Graph) -> tuple[Graph, dict[int, int]]:
    """The graph with activations as ops of their own; linear op -> the tensor of its bare sums."""
    draft, linear, ops = Draft(graph), {}, list[Op]()
    for k, op in enumerate(graph.ops):
        fused = op.options.get("fused_activation_function", "NONE")
        if is_linear(graph, op):
            linear[k] = op.outputs[0]
            if fused != "NONE":
                y = graph.tensors[op.outputs[0]]
                linear[k] = draft.add(replace(y, name=f"{y.name}/sum", quantization=None))
                bare = {**op.options, "fused_activation_function": "NONE"}
                ops += [replace(op, options=bare, outputs=(linear[k],)), Op(fused, (linear[k],), op.outputs)]
                continue
        ops.append(op)
    draft.ops = ops
    return draft.graph(), linear


def _means(graph: Graph, inputs: list[np.ndarray], linear: dict[int, int]) -> dict[int, np.ndarray]:
    """Per channel, the mean of what the float network's linear ops deliver."""
    found: dict[int, np.ndarray] = {}

    def observe(t: int, y: np.ndarray) -> np.ndarray:
        if t in linear.values():
            found[t] = _mean(y)
        return y

    Executor(graph).run(inputs, observe)
    return found


def _shifts(graph: Graph, inputs: list[np.ndarray], wanted: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """What each linear op's bias lacks, in a quantised network in which those before it are corrected."""
    rounded, found = _with_rounded_weights(graph), {}

    def observe(t: int, y: np.ndarray) -> np.ndarray:
        if t in wanted:
            found[t] = wanted[t] - _mean(y)
            y = (y + found[t]).astype(np.float32)
        return _on_grid(t, y)

    def _on_grid(t: int, y: np.ndarray) -> np.ndarray:
        grid = graph.tensors[t].quantization
        return y if grid is None else snapped(y, grid)

    Executor(rounded).run([_on_grid(t, x) for t, x in zip(graph.inputs, inputs, strict=True)], observe)
    return found


def _with_rounded_weights(graph: Graph) -> Graph:
    draft = Draft(graph)
    for op in graph.ops:
        if is_linear(graph, op):
            weight = graph.tensors[operands(op)[1]]
            if weight.quantization is not None:
                axis = CHANNEL_AXIS[op.kind]
                draft.change(operands(op)[1], data=decoded(codes_of(weight), weight.quantization.scale, axis))
    return draft.graph()


def _mean(y: np.ndarray) -> np.ndarray:
    return y.reshape(-1, y.shape[-1]).mean(0, dtype=np.float64)
