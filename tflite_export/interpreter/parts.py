"""Linear ops on some of their channels: smaller ops, made of what is left of weights, bias and scales."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tflite_export.interpreter.channel_masks import Mask
from tflite_export.ir import Op, Tensor

OUTPUT_AXIS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}
"""Linear op -> axis of its weight along which the filters lie."""


@dataclass(frozen=True, eq=False)
class Part:
    """A linear op on some of its channels.

    Attributes:
        op: The smaller op, whose inputs and output are the first and the last of ``tensors``.
        tensors: Feature map, weight, bias if there is one, output.
        filters: The output channels that it computes, as indices.
        inputs: The input channels that it reads.
        macs: Its multiply-accumulates; 0 if there is nothing to compute.
    """

    op: Op
    tensors: tuple[Tensor, ...]
    filters: np.ndarray
    inputs: np.ndarray
    macs: int


def part_of(op: Op, tensors: Sequence[Tensor], closed: Mask, dark: Mask) -> Part:
    """The op without the filters that are ``closed``, blind for the input channels that are ``dark``.

    Grouped convolutions, and depthwise ones that make several channels of one, stay whole.
    """
    x, weight, *bias, y = [tensors[t] for t in (*op.inputs, *op.outputs) if t >= 0]
    filters, inputs = _channels(op, x, weight, closed, dark)
    axis = OUTPUT_AXIS[op.kind]
    mixes = weight.shape[-1] == x.shape[-1] and axis == 0
    small = _with_scales(_taken(weight, {axis: filters} | ({-1: inputs} if mixes else {})), filters, len(closed))
    parts = [_sized(x, len(inputs)), small]
    parts += [_with_scales(_taken(b, {0: filters}), filters, len(closed)) for b in bias]
    parts.append(_sized(y, len(filters)))
    taps = int(np.prod(small.shape[1:3])) if axis == 3 else int(np.prod(small.shape[1:]))
    smaller = replace(op, inputs=tuple(range(len(parts) - 1)), outputs=(len(parts) - 1,))
    return Part(smaller, tuple(parts), filters, inputs, int(np.prod(parts[-1].shape)) * taps)


def _channels(op: Op, x: Tensor, weight: Tensor, closed: Mask, dark: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the filters and of the input channels that remain; of the latter one at least, as ops must read."""
    filters, inputs = np.flatnonzero(~closed), np.flatnonzero(~dark)
    if op.kind == "DEPTHWISE_CONV_2D":
        one_each = len(closed) == len(dark)
        return (filters, filters) if one_each else (np.arange(len(closed)), np.arange(len(dark)))
    if x.shape[-1] != weight.shape[-1]:
        return np.arange(len(closed)), np.arange(len(dark))
    return filters, inputs if len(inputs) else np.arange(1)


def _taken(tensor: Tensor, axes: dict[int, np.ndarray]) -> Tensor:
    """A constant with what is left of some axes."""
    data = np.asarray(tensor.data)
    for axis, index in axes.items():
        data = np.take(data, index, axis=axis)
    return replace(tensor, shape=data.shape, data=data)


def _with_scales(tensor: Tensor, filters: np.ndarray, width: int) -> Tensor:
    grid = tensor.quantization
    if grid is None or len(grid.scale) != width or width == 1:
        return tensor
    return replace(tensor, quantization=replace(grid, scale=grid.scale[filters], zero_point=grid.zero_point[filters]))


def _sized(tensor: Tensor, channels: int) -> Tensor:
    return replace(tensor, shape=(*tensor.shape[:-1], channels))
