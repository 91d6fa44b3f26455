"""RESIZE_BILINEAR: each output pixel is the mean of four input pixels, weighted by how near they are to its place

    i * s,  or (i + 1/2) * s - 1/2 with ``half_pixel_centers``;   s = in / out, or (in - 1) / (out - 1) with
    ``align_corners``

Integers: places in units of 2**-10, so weights in 2**-20; the sum of weighted codes is rounded half away from zero.

Source: TensorFlow Lite, ``reference_ops::ResizeBilinear`` and ``ResizeBilinearInteger``. Differs from it by refusing
two different grids.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tflite_export.interpreter.operands import WIDE, Kernel, common_type, same_grid
from tflite_export.interpreter.resizing import Axis, axes
from tflite_export.ir import STORAGE, Op, Tensor

UNIT_BITS = 10
UNIT = 1 << UNIT_BITS


class Taps(NamedTuple):
    """For each output pixel along an axis: the pixels before and behind its place, and the weight of the latter."""

    before: np.ndarray
    behind: np.ndarray
    weight: np.ndarray


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    same_grid(op, tensors, 0)
    dtype = STORAGE[common_type(op, tensors, 0, types=WIDE)]
    if dtype is np.float32:
        float_rows, float_columns = (_float(axis) for axis in axes(op, tensors))
        return lambda x, _size: (_mixed(x, float_rows, float_columns, np.float32(1)),)
    rows, columns = (_integer(axis) for axis in axes(op, tensors))
    wide = np.int32 if dtype is np.int8 else np.int64

    def run(x: np.ndarray, _size: np.ndarray) -> tuple[np.ndarray]:
        total = _mixed(x.astype(wide), rows, columns, UNIT)
        return ((np.sign(total) * ((np.abs(total) + UNIT * UNIT // 2) >> 2 * UNIT_BITS)).astype(dtype),)

    return run


def _mixed(x: np.ndarray, rows: Taps, columns: Taps, one: np.float32 | int) -> np.ndarray:
    """The weighted sums; weights of an axis add up to ``one``."""
    weight = rows.weight[:, None, None]
    x = x[:, rows.before] * (one - weight) + x[:, rows.behind] * weight
    weight = columns.weight[:, None]
    return x[:, :, columns.before] * (one - weight) + x[:, :, columns.behind] * weight


def _float(axis: Axis) -> Taps:
    aligned = axis.align_corners and axis.after > 1
    step = (axis.before - 1) / (axis.after - 1) if aligned else axis.before / axis.after
    shift = np.float32(0.5 if axis.half_pixel_centers else 0)
    places = (np.arange(axis.after, dtype=np.float32) + shift) * np.float32(step) - shift
    first = np.floor(places)
    return _taps(axis, first, first + 1, places - first)


def _integer(axis: Axis) -> Taps:
    aligned = axis.align_corners and axis.after > 1
    before, after = (axis.before - 1, axis.after - 1) if aligned else (axis.before, axis.after)
    step = (UNIT * before + after // 2) // after
    places = np.arange(axis.after, dtype=np.int64) * step
    if axis.half_pixel_centers:
        places += step // 2 - UNIT // 2
    first = np.maximum(places >> UNIT_BITS, 0)
    return _taps(axis, first, (places + UNIT - 1) >> UNIT_BITS, (places - UNIT * first).astype(np.int32))


def _taps(axis: Axis, before: np.ndarray, behind: np.ndarray, weight: np.ndarray) -> Taps:
    first, last = (np.clip(places.astype(np.int64), 0, axis.before - 1) for places in (before, behind))
    return Taps(first, last, weight)
