"""RESIZE_NEAREST_NEIGHBOR: each output pixel ``i`` takes the input pixel at, in float32,

    (i + h) * s,   s = in / out, or (in - 1) / (out - 1) with ``align_corners``;   h = 1/2 with ``half_pixel_centers``

rounded down, or to the nearest with ``align_corners``, and no farther than the last pixel. Codes are copied.

Source: TensorFlow Lite, ``reference_ops::ResizeNearestNeighbor``. Differs from it by refusing two different grids.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import round_half_away
from tflite_export.interpreter.operands import WIDE, Kernel, common_type, same_grid
from tflite_export.interpreter.resizing import Axis, axes
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    common_type(op, tensors, 0, types=WIDE)
    same_grid(op, tensors, 0)
    rows, columns = (_sources(axis) for axis in axes(op, tensors))
    return lambda x, _size: (np.ascontiguousarray(x[:, rows][:, :, columns]),)


def _sources(axis: Axis) -> np.ndarray:
    aligned = axis.align_corners and axis.after > 1
    step = np.float32(axis.before - 1) / np.float32(axis.after - 1) if aligned else None
    step = np.float32(axis.before) / np.float32(axis.after) if step is None else step
    offset = np.float32(0.5 if axis.half_pixel_centers else 0)
    places = (np.arange(axis.after, dtype=np.float32) + offset) * step
    whole = round_half_away(places) if axis.align_corners else np.floor(places)
    return np.clip(whole.astype(np.int64), 0, axis.before - 1)
