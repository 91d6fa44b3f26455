"""The largest of many numbers, without sorting.

Floats that are not negative are in the order of their bits read as integers, so the number of a given rank is found
digit by digit from the top, counting in each round how many numbers have which next digit: two or three passes over
the numbers, where sorting half a million of them takes as long as a training step of the network around them.
"""

from typing import Any

from keras import ops

LARGE = 2**16
"""From this many numbers on, two rounds over long digits are cheaper than three over short ones."""


def of_rank(numbers: Any, rank: Any) -> Any:
    """The number of 0-based ``rank``, int32 scalar, in ascending order of ``numbers`` (int32, flat, not negative)."""
    ones = ops.ones_like(numbers)
    found, smaller, low_bits = 0, 0, 31  # the first digits, how many numbers are below them, how many bits behind them
    for width in (16, 15) if numbers.shape[0] >= LARGE else (11, 10, 10):
        low_bits -= width
        digits = ops.right_shift(numbers, low_bits) - found * 2**width
        if low_bits + width < 31:
            others = ops.logical_or(digits < 0, digits >= 2**width)
            digits = ops.where(others, -1, digits)  # not counted: they begin with other digits than those found
        up_to = smaller + ops.cumsum(ops.segment_sum(ones, digits, num_segments=2**width))
        digit = ops.sum(ops.cast(up_to <= rank, "int32"))
        smaller = ops.where(digit > 0, ops.take(up_to, ops.maximum(digit - 1, 0)), smaller)
        found = found * 2**width + digit
    return found


def largest(scores: Any, count: Any) -> Any:
    """True for the ``count`` (int32 scalar, 1 or more) largest of ``scores`` (float32, any shape, not negative).

    Among equals the first in memory are chosen, so that the count is exact.
    """
    numbers = ops.view(ops.reshape(scores, (-1,)), "int32")
    threshold = of_rank(numbers, numbers.shape[0] - count)
    reached = numbers >= threshold
    surplus = ops.sum(ops.cast(reached, "int32")) - count

    def without_surplus() -> Any:
        equal = ops.cumsum(ops.cast(numbers == threshold, "int32"))
        return ops.logical_and(reached, ops.logical_or(numbers > threshold, equal <= equal[-1] - surplus))

    return ops.reshape(ops.cond(surplus > 0, without_surplus, lambda: reached), scores.shape)
