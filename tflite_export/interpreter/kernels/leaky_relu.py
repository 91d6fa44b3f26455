"""LEAKY_RELU: ``x`` where it is positive, else ``alpha * x``. Integers, with ``d = x - Zx`` and float32 multipliers:

    y = clip(MBQM(d, Sx / Sy if d >= 0 else Sx * alpha / Sy) + Zy)

Source: TensorFlow Lite, ``reference_ops::QuantizeLeakyRelu``. Differs from it in refusing a negative ``alpha`` on
integers.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.elementwise import every_code, looked_up, requantized_codes
from tflite_export.interpreter.operands import WIDE, Kernel, affine, common_type, limits, output, refuse, required
from tflite_export.ir import STORAGE, Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8 or int16."""
    alpha = np.float32(op.options.get("alpha", 0.0))
    if common_type(op, tensors, 0, types=WIDE) != "float32":
        return looked_up(_table(op, tensors, alpha))
    return lambda x: (np.where(x > 0, x, x * alpha),)


def _table(op: Op, tensors: Sequence[Tensor], alpha: np.float32) -> np.ndarray:
    if alpha < 0:
        refuse(op, required(op, tensors, 0), f"`alpha` must not be negative. Received: {alpha}")
    (scale_in, zero_in), (scale, zero_point) = affine(op, required(op, tensors, 0)), affine(op, output(op, tensors))
    above = requantized_codes(op, tensors, float(scale_in / scale))
    slope = float(scale_in * alpha / scale)
    below = requantized_codes(op, tensors, slope) if slope else zero_point
    y = output(op, tensors)
    codes = np.where(every_code(y.dtype) >= zero_in, above, below)
    return np.clip(codes, *limits(op, tensors, "NONE")[1:]).astype(STORAGE[y.dtype])
