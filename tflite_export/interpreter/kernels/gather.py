"""GATHER: the slices of ``x`` along an axis that a list of numbers names, in its order.

    y[b, o, j, i] = x[b, o, n[b, j], i]

``b`` runs over ``batch_dims`` axes that ``x`` and the numbers share, ``o`` and ``i`` over those in front of the axis
and behind it. Codes are copied.

Source: TensorFlow Lite, ``gather.cc`` and ``reference_ops::Gather``. Differs from it by refusing two different grids.
"""

import math
from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import Kernel, expect_shape, output, refuse, refuse_type, required, same_grid
from tflite_export.ir import Op, Tensor

NUMBERS = ("int16", "int32", "int64")


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Any type, by numbers of 16, 32 or 64 bits."""
    x, numbers = required(op, tensors, 0), required(op, tensors, 1)
    if numbers.dtype not in NUMBERS:
        refuse_type(op, numbers, ", ".join(NUMBERS))
    if x.dtype != output(op, tensors).dtype:
        refuse_type(op, output(op, tensors), x.dtype)
    same_grid(op, tensors, 0)
    axis, shared = (_from_front(op.options.get(name, 0), t) for name, t in (("axis", x), ("batch_dims", numbers)))
    if not 0 <= axis < len(x.shape) or not 0 <= shared <= min(axis, len(numbers.shape)):
        refuse(op, x, f"has no axis {axis} behind {shared} axes that it shares with the numbers")
    if x.shape[:shared] != numbers.shape[:shared]:
        refuse(op, x, f"the first {shared} axes of the numbers must be its own. Received: {numbers.shape}")
    expect_shape(op, tensors, (*x.shape[:axis], *numbers.shape[shared:], *x.shape[axis + 1 :]))

    def run(x: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray]:
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < x.shape[axis]:
            wrong = f"{numbers.min()} to {numbers.max()}"
            refuse(op, required(op, tensors, 1), f"expected numbers from 0 to {x.shape[axis] - 1}. Received: {wrong}")
        return (_gathered(x, numbers, axis, shared),)

    return run


def _from_front(axis: int, tensor: Tensor) -> int:
    """An axis counted from the front."""
    return axis + len(tensor.shape) * (axis < 0)


def _gathered(x: np.ndarray, numbers: np.ndarray, axis: int, shared: int) -> np.ndarray:
    both = x.shape[:shared]
    parts = x.reshape((math.prod(both), *x.shape[shared:]))
    rows = numbers.reshape(math.prod(both), -1)
    found = np.stack([part.take(row, axis - shared) for part, row in zip(parts, rows, strict=True)])
    return found.reshape((*both, *x.shape[shared:axis], *numbers.shape[shared:], *x.shape[axis + 1 :]))
