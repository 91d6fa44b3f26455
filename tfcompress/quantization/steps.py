"""Where a step between evenly spaced levels starts, and how it becomes a power of two. No technique of its own.

s  =  argmin_s  sum((x - clip(round(x / s), low, high) * s)^2)        over CANDIDATES steps, each 2^(-1/4) of the last
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from tfcompress import gradients
from tfcompress.axes import other_axes

CANDIDATES = 20
"""Initial steps tried, each narrower than the last by a quarter of an octave."""

SAMPLE = 2**20
"""About as many values decide between the candidates."""

POWERS = np.ldexp(np.float32(1), np.arange(-64, 64))
"""The powers of two that a step may be; looked up, since not every backend's ``exp2`` is exact."""


def nearest_power_of_two(step: Any) -> Any:
    """The power of two nearest to ``step`` (positive, any shape) in the logarithm, with the gradient of ``step``."""
    borders = POWERS[:-1] * np.float32(math.sqrt(2))
    index = ops.sum(ops.cast(ops.expand_dims(step, -1) > borders, "int32"), axis=-1)
    power = ops.take(ops.convert_to_tensor(POWERS), index)
    return gradients.straight_through(ops.where(ops.isnan(step), step, power), step)


def initial_step(x: Any, axis: Sequence[int] | None, low: int, high: int, power_of_two: bool = False) -> Any:
    """The step of least squared rounding error, among ``CANDIDATES`` from the one that clips nothing on down.

    Args:
        x: Values, any shape.
        axis: Axes that have their own steps.
        low: Smallest code.
        high: Largest code.
        power_of_two: Judges each candidate by the power of two that it is rounded to.

    Returns:
        One step per slice, in the rank of ``x``. A slice of zeros gets ``1 / high``.
    """
    others = other_axes(len(x.shape), axis)
    shape = [1 if a in others else size for a, size in enumerate(x.shape)]
    kept = [a for a in range(len(shape)) if a not in others]
    columns = ops.reshape(ops.transpose(x, [*others, *kept]), (-1, math.prod(shape)))
    reach = columns / high if low == 0 else ops.maximum(columns / high, columns / low)
    widest = ops.max(reach, axis=0)
    widest = ops.where(widest > 0, widest, 1 / high)
    sample = ops.reshape(columns[:: _stride(columns)], (-1, columns.shape[1]))  # slicing forgets the width

    def compare(_: Any, state: Any) -> Any:
        step, best, least = state
        used = nearest_power_of_two(step) if power_of_two else step
        error = ops.sum(ops.square(sample - ops.round(ops.clip(sample / used, low, high)) * used), axis=0)
        return step * 2**-0.25, ops.where(error < least, step, best), ops.minimum(error, least)

    start = (widest, widest, ops.full_like(widest, np.inf))
    return ops.reshape(ops.fori_loop(0, CANDIDATES, compare, start)[1], shape)


def _stride(columns: Any) -> Any:
    """Odd, so that it does not keep in step with the channels of an image."""
    rows, width = ops.shape(columns)
    return rows * width // SAMPLE // 2 * 2 + 1
