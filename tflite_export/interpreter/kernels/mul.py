"""MUL with broadcasting. Integers: ``y = clip(MBQM((a - Za) * (b - Zb), Sa * Sb / Sy) + Zy)``, multiplier in float32.

Source: TensorFlow Lite, ``mul.cc`` and ``reference_integer_ops::MulElementwise``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter import fused
from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.elementwise import flat, guarded
from tflite_export.interpreter.operands import WIDE, Kernel, activation, affine, common_type, limits, output, required
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    if common_type(op, tensors, 0, 1, types=WIDE) != "float32":
        return _integer(op, tensors)
    name = activation(op, tensors)
    return lambda a, b: (activate(np.multiply(a, b), name),)


def _integer(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    (scale_a, zero_a), (scale_b, zero_b) = (affine(op, required(op, tensors, k)) for k in (0, 1))
    real = guarded(op, tensors, float(scale_a * scale_b / affine(op, output(op, tensors))[0]))
    rule = fused.rescale_by(real, limits(op, tensors))

    def run(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        y = np.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
        fused.multiply(flat(a, y.shape), flat(b, y.shape), zero_a, zero_b, rule, y.reshape(-1))
        return (y,)

    return run
