"""STRIDED_SLICE: ``x[begin:end:stride]`` along every axis, as Python slices; masked axes are open or dropped.

Bit ``k`` of ``begin_mask`` or ``end_mask`` opens the slice of axis ``k`` on that side; of ``shrink_axis_mask``, takes
the one element at ``begin[k]`` and drops the axis.

Source: TensorFlow Lite, ``strided_slice.cc``. Differs from it in refusing ``ellipsis_mask``, ``new_axis_mask``,
``offset`` and fewer slices than axes.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, integers, refuse, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type."""
    x = required(op, tensors, 0)
    begin, end, strides = (integers(op, tensors, position) for position in (1, 2, 3))
    for name in ("ellipsis_mask", "new_axis_mask", "offset"):
        if op.options.get(name):
            refuse(op, x, f"`{name}` is not supported. Received: {op.options[name]}")
    if not len(begin) == len(end) == len(strides) == len(x.shape) or 0 in strides:
        refuse(op, x, f"expected one slice for each axis. Received: {begin}, {end}, {strides}")
    where = tuple(_index(op, x, axis, *slice_) for axis, slice_ in enumerate(zip(begin, end, strides)))
    return lambda x, *_: (np.asarray(x[where]).copy(),)


def _index(op: Op, x: Tensor, axis: int, begin: int, end: int, stride: int) -> int | slice:
    masked = {name: op.options.get(name, 0) >> axis & 1 for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    if not masked["shrink_axis_mask"]:
        return slice(None if masked["begin_mask"] else begin, None if masked["end_mask"] else end, stride)
    begin = 0 if masked["begin_mask"] else begin
    if not -x.shape[axis] <= begin < x.shape[axis]:
        refuse(op, x, f"axis {axis} has no element {begin}")
    return begin
