"""L2_NORMALIZATION: each vector along the last axis, divided by its length. int8, with ``d = x - Zx``:

    y = clip(MBQM(d, 2**7 / sqrt(sum(d**2))))

The output grid is 1/128, 0, so a component that is the whole length is 127, not 128.

Source: TensorFlow Lite, ``l2norm.cc`` and ``reference_integer_ops::L2Normalization``. Differs from it in refusing
vectors so long that the sum of squares could leave int32.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import INT8_HIGH, INT8_LOW, multiply_by_quantized_multiplier
from tflite_export.interpreter.inverse_root import inverse_square_root
from tflite_export.interpreter.operands import Kernel, activation, affine, common_type, output, refuse, required
from tflite_export.ir import Op, Tensor

OUTPUT_BITS = 7
SHORTEST = np.float32(1e-6)
"""Shorter float vectors are divided by this."""

LONGEST = (2**31 - 1) // 255**2
"""Components of which the squares surely sum up inside int32."""


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32 or int8, of at most four axes."""
    x = required(op, tensors, 0)
    if not 1 <= len(x.shape) <= 4 or activation(op, tensors) != "NONE":
        refuse(op, x, f"expected 1 to 4 axes and no fused activation. Received: {activation(op, tensors)}")
    if common_type(op, tensors, 0) == "float32":
        return lambda x: (x / np.maximum(np.sqrt(np.sum(x * x, -1, keepdims=True)), SHORTEST),)
    if affine(op, output(op, tensors)) != (np.float32(1 / 128), 0):
        refuse(op, output(op, tensors), f"the grid must be 1/128, 0. Received: {affine(op, output(op, tensors))}")
    if x.shape[-1] > LONGEST:
        refuse(op, x, f"vectors must have at most {LONGEST} components")
    zero_point = affine(op, x)[1]

    def run(x: np.ndarray) -> tuple[np.ndarray]:
        d = x.astype(np.int64) - zero_point
        m, shift = inverse_square_root(np.sum(d * d, -1, keepdims=True))
        y = multiply_by_quantized_multiplier(d, m, shift + OUTPUT_BITS)
        return (np.clip(y, INT8_LOW, INT8_HIGH).astype(np.int8),)

    return run
