"""One-dimensional k-means on many numbers at once, without a table of all distances.

Numbers come in columns, ``x`` of shape (n, slices), and each column has its own dictionary, ``entries`` of shape
(slices, K), ascending. The number nearest to an entry lies between the middles to its neighbours, so that

    index = how many middles are below x,    a pass per middle if there are few, else halving: O(n log K)

and one step of k-means is two weighted counts. Nothing here has a gradient.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from tfcompress.axes import other_axes

FEW = 32
"""Up to so many entries, comparing with each middle is faster than looking middles up."""

SHORT = ~0x7F
"""Keeps 17 bits of a float32's mantissa: the product with a code of 7 bits is then exact."""


def columns(x: Any, axis: Sequence[int] | None) -> Any:
    """The tensor as (n, slices): one column for each slice along ``axis``."""
    order, slices = _order(x.shape, axis)
    return ops.reshape(ops.transpose(x, order), (-1, slices))


def as_weight(x: Any, shape: Sequence[int], axis: Sequence[int] | None) -> Any:
    """The inverse: columns as a tensor of ``shape``."""
    order, _ = _order(shape, axis)
    return ops.transpose(ops.reshape(x, [shape[a] for a in order]), sorted(range(len(order)), key=order.__getitem__))


def _order(shape: Sequence[int], axis: Sequence[int] | None) -> tuple[list[int], int]:
    others = other_axes(len(shape), axis)
    kept = [a for a in range(len(shape)) if a not in others]
    return [*others, *kept], math.prod(shape[a] for a in kept)


def nearest(x: Any, entries: Any) -> Any:
    """Index of the entry nearest to each number (int32, shape of ``x``); the lower one where two are equally near."""
    middles, size = (entries[:, 1:] + entries[:, :-1]) / 2, entries.shape[1]
    if size <= FEW:
        above = [ops.cast(x > middles[:, k], "int8") for k in range(size - 1)]  # bytes: it is all memory traffic
        return ops.cast(functools.reduce(ops.add, above), "int32")
    span = 2 ** math.ceil(math.log2(size))
    table = ops.pad(middles, [(0, 0), (0, span - size)], constant_values=np.inf)
    first = (span - 1) * ops.arange(entries.shape[0], dtype="int32")
    index = ops.zeros_like(x, dtype="int32")
    while span > 1:
        span //= 2
        middle = ops.take(ops.reshape(table, (-1,)), first + index + (span - 1))
        index = index + span * ops.cast(x > middle, "int32")
    return index


def looked_up(entries: Any, index: Any) -> Any:
    """The entry that each index (int32, (n, slices)) means, in its own column's dictionary."""
    return ops.take(ops.reshape(entries, (-1,)), _place(entries, index))


def members(x: Any, index: Any, entries: Any, bins: bool = False) -> tuple[Any, Any]:
    """Sum (float32) and number (int32) of the numbers assigned to each entry, both of the shape of ``entries``.

    ``bins`` counts with ``bincount``, on TensorFlow's CPU ten times as fast, but nothing that JAX or XLA can compile.
    """
    place, size = ops.reshape(_place(entries, index), (-1,)), math.prod(entries.shape)
    sums, counts = (_bins if bins else _segments)(ops.reshape(x, (-1,)), place, size)
    return ops.reshape(sums, entries.shape), ops.reshape(counts, entries.shape)


def _place(entries: Any, index: Any) -> Any:
    slices, size = entries.shape
    return index if slices == 1 else index + size * ops.arange(slices, dtype="int32")


def _bins(x: Any, place: Any, size: int) -> tuple[Any, Any]:
    return ops.bincount(place, weights=x, minlength=size), ops.bincount(place, minlength=size)


def _segments(x: Any, place: Any, size: int) -> tuple[Any, Any]:
    sums, counts = (ops.segment_sum(values, place, num_segments=size) for values in (x, ops.ones_like(place)))
    return sums, counts


def means(entries: Any, sums: Any, counts: Any) -> Any:
    """The mean of each entry's members; an entry without any stays."""
    return ops.where(counts > 0, sums / ops.cast(ops.maximum(counts, 1), "float32"), entries)


def with_zero(entries: Any) -> Any:
    """The entry nearest to zero becomes zero."""
    nearest_to_zero = ops.argmin(ops.abs(entries), axis=-1, keepdims=True)
    return ops.where(ops.arange(entries.shape[1]) == ops.cast(nearest_to_zero, "int32"), 0.0, entries)


def on_int8(entries: Any, codes: Any = None, highest: int = 127) -> Any:
    """The entries as whole multiples, -127 to 127, of one scale per dictionary that float32 holds without rounding.

    The scale gets 17 bits of mantissa, so that ``code * scale`` is exact and the scale can be read from the values.

    Args:
        entries: (slices, K).
        codes: The whole numbers, (K,), where they are known; None takes the nearest ones.
        highest: What the largest magnitude is a multiple by.
    """
    scale = ops.max(ops.abs(entries), axis=-1, keepdims=True) * np.float32(1 / highest)
    scale = ops.view(ops.bitwise_and(ops.view(scale, "int32"), SHORT), "float32")
    scale = ops.where(scale == 0, 1.0, scale)
    return (ops.round(entries / scale) if codes is None else codes) * scale


def exponent(x: Any) -> Any:
    """``round(log2(|x|))`` as int32, read from the bits of ``x`` (float32): exact, and -127 for zero."""
    bits = ops.view(ops.abs(x), "int32")
    return ops.right_shift(bits + (0x800000 - SQRT2), 23) - 127


SQRT2 = 0x3504F3
"""Mantissa of the square root of 2, from where on a number is rounded up in the logarithm."""


def power_of_two(exponents: Any) -> Any:
    """``2 ** exponents`` (int32, -126 to 127), exact on every backend, as ``exp2`` is not."""
    return ops.view(ops.left_shift(exponents + 127, 23), "float32")
