"""Shifts biases by what quantisation changes in the mean of each output channel, layer after layer.

    empirical    b'  =  b  +  E[W x + b]  -  E[Q(W) x' + b]
    analytic     b'  =  b  -  (Q(W) - W) E[x]

``x`` is what the float network delivers to the layer, ``x'`` what the quantised network does whose earlier layers are
corrected already. Both means are taken over samples and pixels, in front of the activation. The analytic ``E[x]`` comes
from the batch norms of the Keras model (``tfcompress/post_training/expectations.py``).

This is what ``tfcompress.edits.correct_bias`` does to a Keras model, for the weights that only ``convert`` rounds.

Reference: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
https://arxiv.org/abs/1906.04721, appendix D, empirical bias correction. Differs from the source in one run for all
layers instead of one run each: every sample is at the same layer at the same time.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tflite_export.calibration import snapped
from tflite_export.interpreter import Executor
from tflite_export.ir import Graph, Op
from tflite_export.passes.draft import Draft
from tflite_export.passes.linear import CHANNEL_AXIS, codes_of, decoded, is_linear, operands, with_operands

WAYS = ("empirical", "analytic")
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
    return _moved(graph, {k: shifts[y] for k, y in linear.items() if y in shifts})


def correct_bias_by_means(graph: Graph, means: Mapping[str, np.ndarray]) -> Graph:
    """The graph with biases corrected for given mean inputs.

    Args:
        graph: As for `correct_bias`.
        means: Name of a feature map -> mean of each channel, NaN where it is not known.

    Raises:
        ValueError: The mean input of no rounded weight is known.

    Warns:
        UserWarning: Layers are not corrected, since their mean input is not known.
    """
    rounded, shifts, unknown = _with_rounded_weights(graph), dict[int, np.ndarray](), []
    for k, op in enumerate(graph.ops):
        if is_linear(graph, op):
            x, weight, _ = operands(op)
            change = np.asarray(rounded.tensors[weight].data, np.float64) - np.asarray(graph.tensors[weight].data)
            error = _mean_error(graph, op, change, means.get(graph.tensors[x].name))
            if np.isnan(error).any():
                unknown.append(graph.tensors[op.outputs[0]].name)
            elif error.any():
                shifts[k] = -error
    if unknown:
        _report_unknown(unknown, bool(shifts))
    return _moved(graph, shifts)


def _report_unknown(names: list[str], some: bool) -> None:
    known = "not all" if some else "none of the"
    message = (
        f"`bias_correction='analytic'` knows the mean input of {known} layers, and leaves {names} as they are: no "
        "batch norm of the model tells it. Use bias_correction='empirical', which measures."
    )
    if not some:
        raise ValueError(message)
    warnings.warn(message, stacklevel=6)


def _mean_error(graph: Graph, op: Op, change: np.ndarray, mean: np.ndarray | None) -> np.ndarray:
    """Per channel, ``change E[x]``, with each tap as often as it sees the input; NaN where a mean is missing."""
    by_input = _by_input(graph, op, change)
    mean = np.full(1, np.nan) if mean is None else mean
    if op.kind == "DEPTHWISE_CONV_2D":
        repeated = np.repeat(mean, len(by_input) // len(mean)) if len(by_input) % len(mean) == 0 else np.nan
        return np.where(by_input == 0, 0.0, by_input * repeated)
    channels = by_input.shape[1]
    tiled = np.tile(mean, channels // len(mean)) if channels % len(mean) == 0 else np.full(channels, np.nan)
    open_ends = (by_input[:, np.isnan(tiled)] != 0).any(axis=1)
    return np.where(open_ends, np.nan, by_input @ np.nan_to_num(tiled))


def _by_input(graph: Graph, op: Op, change: np.ndarray) -> np.ndarray:
    """The change per output and input channel, (outputs, inputs); of a depthwise convolution (outputs,)."""
    if op.kind == "FULLY_CONNECTED":
        return change
    x, y = graph.tensors[operands(op)[0]].shape, graph.tensors[op.outputs[0]].shape
    from tfcompress.structure.taps import share_read, share_written  # loads Keras, which reading files does not need

    along = share_written if op.kind == "TRANSPOSE_CONV" else share_read
    padding, given = str(op.options["padding"]).lower(), op.options
    rows, columns = (
        along(padding, x[a], y[a], change.shape[a], given[f"stride_{s}"], given.get(f"dilation_{s}_factor", 1))
        for a, s in ((1, "h"), (2, "w"))
    )
    summed = np.einsum("ohwi,h,w->oi", change, rows, columns)
    return summed[0] if op.kind == "DEPTHWISE_CONV_2D" else _ungrouped(summed, x[-1])


def _ungrouped(change: np.ndarray, channels: int) -> np.ndarray:
    """Of a convolution in groups, zeros between the groups."""
    outputs, inputs = change.shape
    groups = channels // inputs
    whole = np.zeros((groups, outputs // groups, groups, inputs))
    whole[range(groups), :, range(groups)] = change.reshape(groups, -1, inputs)
    return whole.reshape(outputs, channels)


def _moved(graph: Graph, shifts: Mapping[int, np.ndarray]) -> Graph:
    """The graph with ``shifts`` in the biases of its linear ops, given by place."""
    draft = Draft(graph)
    for k, shift in shifts.items():
        x, weight, bias = operands(graph.ops[k])
        moved = (np.asarray(graph.tensors[bias].data, np.float64) + shift).astype(np.float32)
        draft.ops[k] = with_operands(graph.ops[k], x, weight, draft.add(replace(graph.tensors[bias], data=moved)))
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
