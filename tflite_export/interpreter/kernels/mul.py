"""MUL with broadcasting. int8: ``y = clip(MBQM((a - Za) * (b - Zb), Sa * Sb / Sy) + Zy)``, the multiplier in float32.

Source: TensorFlow Lite, ``mul.cc`` and ``reference_integer_ops::MulElementwise``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import activate, activation_range, rescale_by
from tflite_export.interpreter.elementwise import flat, guarded
from tflite_export.interpreter.operands import Kernel, activation, affine, output, refuse_type, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8."""
    x, name = required(op, tensors, 0), activation(op, tensors)
    if x.dtype == "int8":
        return _int8(op, tensors, name)
    if x.dtype == "float32":
        return lambda a, b: (activate(np.multiply(a, b), name),)
    refuse_type(op, x, "float32 or int8")


def _int8(op: Op, tensors: Sequence[Tensor], name: str) -> Kernel:
    (scale_a, zero_a), (scale_b, zero_b) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    scale, zero_point = affine(op, output(op, tensors))
    real = guarded(op, tensors, scale_a * scale_b / scale)
    rule = rescale_by(real, (zero_point, *activation_range(name, scale, zero_point)))

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty(np.broadcast_shapes(a.shape, b.shape), np.int8)
        fused.multiply(flat(a, y.shape), flat(b, y.shape), zero_a, zero_b, rule, y.reshape(-1))
        return (y,)

    return run
