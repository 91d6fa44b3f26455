"""Groups of neighbouring weights, as boxes of one size.

    weight (3, 3, 16, 32)   box (3, 3, 16, 1)   32 groups, the output channels
                            box (1, 1, 4, 1)    each 4 neighbours along the input channels
                            box (1, 1, 4, 8)    tiles of 4 input by 8 output channels

Boxes start at index 0. What is left at the end of an axis and fills no box is in no group.
"""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from tfcompress.axes import other_axes

CHANNEL = "output_channel"

Group = str | int | Sequence[int]
"""``"output_channel"``; k, for k neighbours along the input channels; (r, c), for r input by c output channels."""


def checked(group: Group) -> str | int | tuple[int, ...]:
    """``group`` if it is one of the three, lists as tuples.

    Raises:
        ValueError: It is something else.
    """
    sizes = () if isinstance(group, str) else (group,) if isinstance(group, int) else tuple(group)
    if group != CHANNEL and (len(sizes) not in (1, 2) or min(sizes) < 1):
        raise ValueError(f"`group` must be '{CHANNEL}', k or (r, c), sizes of at least 1. Received: group={group!r}")
    return group if isinstance(group, (str, int)) else sizes


def box_of(
    shape: Sequence[int], group: Group, axis: Sequence[int] | None, depthwise: bool, name: str
) -> tuple[int, ...]:
    """The size of a group along each axis of a weight.

    Args:
        shape: Of the weight.
        group: What a group is.
        axis: Axes of the output channels; input channels are the last other axis.
        depthwise: Whether there are no input channels. Boxes then go across the channels, since a channel has but a
            few weights: a channel stands for an input channel, a position in the kernel for an output channel.
        name: The transform's name, for errors.

    Raises:
        ValueError: The weight is smaller than one box, or lacks an axis for it.
    """
    inputs = other_axes(len(shape), axis)
    outputs = tuple(a for a in range(len(shape)) if a not in inputs)
    row, column = (outputs[:1], inputs[-1:]) if depthwise else (inputs[-1:], outputs[-1:])
    if isinstance(group, str):
        wanted = {a: shape[a] for a in (outputs if depthwise else inputs)}
    else:
        sizes = (group,) if isinstance(group, int) else group
        wanted = dict(zip([*row, *column, *[-1] * len(sizes)], sizes))  # -1: an axis that the weight lacks
    box = tuple(wanted.pop(a, 1) for a in range(len(shape)))
    if wanted or any(size > n for size, n in zip(box, shape)):
        raise ValueError(
            f"Transform '{name}': a weight must hold at least one whole group. Received: group={group!r} and a weight "
            f"of shape {tuple(shape)}. Use smaller groups here, or leave this layer out of the rule."
        )
    return box


def split(x: Any, box: Sequence[int]) -> Any:
    """Each axis as two, the number of the box and the place in it; the rest at the end is cut off."""
    numbers = [n // size for n, size in zip(x.shape, box)]
    x = x[tuple(slice(n * size) for n, size in zip(numbers, box))]
    return ops.reshape(x, [n for pair in zip(numbers, box) for n in pair])


def mean(x: Any, box: Sequence[int]) -> Any:
    """The mean of ``x`` over each whole box, in the rank of ``x``."""
    return ops.mean(split(x, box), axis=tuple(range(1, 2 * len(box), 2)))


def to_columns(x: Any, box: Sequence[int]) -> Any:
    """The whole boxes of ``x``, one in each column of a matrix."""
    order = [*range(1, 2 * len(box), 2), *range(0, 2 * len(box), 2)]
    return ops.reshape(ops.transpose(split(x, box), order), (math.prod(box), -1))


def from_columns(columns: Any, box: Sequence[int], shape: Sequence[int]) -> Any:
    """The inverse of ``to_columns``; what is in no whole box becomes zero, or False."""
    numbers, rank = [n // size for n, size in zip(shape, box)], len(box)
    whole = [n * size for n, size in zip(numbers, box)]
    order = [axis for k in range(rank) for axis in (rank + k, k)]
    x = ops.reshape(ops.transpose(ops.reshape(columns, (*box, *numbers)), order), whole)
    return ops.pad(x, [(0, n - covered) for n, covered in zip(shape, whole)])


def largest_of_columns(scores: Any, count: Any) -> Any:
    """True for the ``count`` (int32 scalar) largest of each column of ``scores`` (float32, rank 2, not negative).

    Among equals the first stay. Floats that are not negative are in the order of their bits read as integers, so the
    threshold of each column is found bit by bit from the top, without sorting.
    """
    numbers = ops.view(scores, "int32")

    def raised(k: Any, threshold: Any) -> Any:
        trial = threshold + ops.left_shift(ops.ones_like(threshold), 30 - k)
        enough = ops.sum(ops.cast(numbers >= trial, "int32"), axis=0) >= count
        return ops.where(enough, trial, threshold)

    threshold = ops.fori_loop(0, 31, raised, ops.zeros(scores.shape[1:], "int32"))
    above, equal = numbers > threshold, numbers == threshold
    room = count - ops.sum(ops.cast(above, "int32"), axis=0)
    return ops.logical_or(above, ops.logical_and(equal, ops.cumsum(ops.cast(equal, "int32"), axis=0) <= room))
