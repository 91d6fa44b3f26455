"""PADV2: a border of the constant third input, taken as a code of the output's grid if quantised.

Source: TensorFlow Lite, ``pad.cc`` and ``reference_ops::Pad``. Differs from the source in nothing.
"""

from collections.abc import Sequence

from tflite_export.interpreter.operands import (
    WIDE,
    Kernel,
    common_type,
    constant,
    padded,
    refuse,
    required,
    same_grid,
)
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    common_type(op, tensors, 0, 2, types=WIDE)
    same_grid(op, tensors, 0, 2)
    value = constant(op, tensors, 2)
    if value.size != 1:
        refuse(op, required(op, tensors, 2), f"expected one value. Received: {value.size}")
    return padded(op, tensors, value.item())
