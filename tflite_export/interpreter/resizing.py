"""What the two resizing ops share: how many rows and columns there were, are, and by which rule they correspond."""

from collections.abc import Sequence
from dataclasses import dataclass

from tflite_export.interpreter.operands import integers, output, refuse, required
from tflite_export.ir import Op, Tensor


@dataclass(frozen=True)
class Axis:
    """Rows, or columns, of the input (``before``) and of the output (``after``)."""

    before: int
    after: int
    align_corners: bool
    half_pixel_centers: bool


def axes(op: Op, tensors: Sequence[Tensor]) -> tuple[Axis, Axis]:
    """Rows and columns of a resizing op, whose second input is the constant size."""
    x, size = required(op, tensors, 0), integers(op, tensors, 1)
    if len(x.shape) != 4 or 0 in x.shape or len(size) != 2 or min(size) < 1:
        refuse(op, x, f"expected (batch, height, width, channels), resized to two lengths. Received: {size}")
    if tuple(size) != tuple(output(op, tensors).shape[1:3]):
        refuse(op, output(op, tensors), f"expected the height and width {size}")
    corners, centers = (bool(op.options.get(name, False)) for name in ("align_corners", "half_pixel_centers"))
    if corners and centers:
        refuse(op, x, "`align_corners` and `half_pixel_centers` exclude each other")
    rows, columns = (Axis(before, after, corners, centers) for before, after in zip(x.shape[1:3], size, strict=True))
    return rows, columns
