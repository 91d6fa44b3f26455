"""Whether a graph made for one sample may run on many at once: no op may mix samples.

Every activation must have 1 as its first length, so that the batch can take its place, and an op that works on
axes must leave the first one alone. Everything else that the interpreter computes works sample by sample. Shapes
that a graph computes while it runs hold the size of the batch by themselves.
"""

from collections.abc import Callable

import numpy as np

from tflite_export.ir import Graph, Op, Tensor


def batchable(graph: Graph) -> bool:
    """Whether N samples run through ``graph`` give what N runs give."""
    shapes = _shapes(graph)
    return all(
        _leads_with_one(graph, op, shapes) and KEEPS_SAMPLES_APART.get(op.kind, lambda *_: True)(op, graph.tensors)
        for op in graph.ops
        if not shapes.issuperset(op.outputs)
    )


def _shapes(graph: Graph) -> set[int]:
    """Tensors that hold lengths of axes: what SHAPE gives, and what slices and packs make of that and of constants."""
    found: set[int] = set()
    for op in graph.ops:
        lengths = all(index in found or graph.tensors[index].data is not None for index in op.inputs)
        if op.kind == "SHAPE" or (op.kind in ("STRIDED_SLICE", "PACK") and lengths):
            found.update(op.outputs)
    return found


def _leads_with_one(graph: Graph, op: Op, shapes: set[int]) -> bool:
    tensors = [graph.tensors[index] for index in {*op.inputs, *op.outputs} - shapes if index >= 0]
    return all(tensor.shape[:1] == (1,) for tensor in tensors if tensor.data is None)


def _reduces_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    axes = tensors[op.inputs[1]].data
    return axes is not None and not np.any(axes % len(tensors[op.inputs[0]].shape) == 0)


def _joins_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    return op.options.get("axis", 0) % len(tensors[op.outputs[0]].shape) != 0


def _pads_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    widths = tensors[op.inputs[1]].data
    return widths is not None and not np.any(widths.flat[:2])


def _leaves_first_axis(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    permutation = tensors[op.inputs[1]].data
    return permutation is not None and int(permutation.flat[0]) % permutation.size == 0


def _takes_all_samples(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    strides = tensors[op.inputs[3]].data
    opened, dropped = (
        op.options.get("begin_mask", 0) & op.options.get("end_mask", 0),
        op.options.get("shrink_axis_mask", 0),
    )
    return strides is not None and int(strides.flat[0]) == 1 and bool(opened & 1) and not dropped & 1


def _broadcasts_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    """An activation of lower rank than the result would meet the batch with another axis."""
    rank = len(tensors[op.outputs[0]].shape)
    operands = [tensors[index] for index in op.inputs]
    return all(len(x.shape) == rank for x in operands if x.data is None) and all(
        len(x.shape) < rank or x.shape[:1] == (1,) for x in operands
    )


def _counts_time_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    return not op.options.get("time_major")


def _gathers_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    """Rows of a table for the numbers of each sample, or the same parts of all samples."""
    x, numbers = (tensors[index] for index in op.inputs)
    axis = op.options.get("axis", 0) % max(1, len(x.shape))
    if x.data is not None:
        return numbers.data is None and axis == 0
    return axis != 0 and (numbers.data is not None) == (op.options.get("batch_dims", 0) == 0)


def _splits_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    axes = tensors[op.inputs[0]].data
    return axes is not None and int(axes.flat[0]) % len(tensors[op.inputs[1]].shape) != 0


def _unpacks_within(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    return op.options.get("axis", 0) % len(tensors[op.inputs[0]].shape) != 0


def _has_features(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    return len(tensors[op.inputs[0]].shape) > 1


KEEPS_SAMPLES_APART: dict[str, Callable[[Op, tuple[Tensor, ...]], bool]] = {
    "ADD": _broadcasts_within,
    "CONCATENATION": _joins_within,
    "GATHER": _gathers_within,
    "LESS": _broadcasts_within,
    "MAXIMUM": _broadcasts_within,
    "MEAN": _reduces_within,
    "MINIMUM": _broadcasts_within,
    "MUL": _broadcasts_within,
    "PACK": _joins_within,
    "PAD": _pads_within,
    "PADV2": _pads_within,
    "L2_NORMALIZATION": _has_features,
    "SELECT": _broadcasts_within,
    "SELECT_V2": _broadcasts_within,
    "SOFTMAX": _has_features,
    "REVERSE_V2": _reduces_within,
    "SPLIT": _splits_within,
    "STRIDED_SLICE": _takes_all_samples,
    "SUB": _broadcasts_within,
    "TRANSPOSE": _leaves_first_axis,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _counts_time_within,
    "UNPACK": _unpacks_within,
}
"""For the ops that work on axes: whether this one leaves the first alone."""
