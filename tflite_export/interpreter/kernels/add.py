"""ADD with broadcasting. int8, in fixed point with 20 spare bits (int16: 15, or by shifts, see `wide_sum`):

    y = clip(MBQM(MBQM((a - Za) << 20, Sa / T) + MBQM((b - Zb) << 20, Sb / T), T / (2**20 * Sy)) + Zy)
    T = 2 * max(Sa, Sb)

``T`` and ``2**20 * Sy`` are float32 products, their ratios float64.

Source: TensorFlow Lite, ``add.cc`` and ``reference_integer_ops::Add``. Differs from the source in nothing.
"""

from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.arithmetic import activate
from tflite_export.interpreter.elementwise import scaled_sum
from tflite_export.interpreter.operands import WIDE, Kernel, activation, common_type
from tflite_export.ir import Op, Tensor


def prepare(op: Op, tensors: Sequence[Tensor]) -> Kernel:
    """Float32, int8, int16, or int32, which is no code but a number and wraps."""
    dtype, name = common_type(op, tensors, 0, 1, types=(*WIDE, "int32")), activation(op, tensors)
    if dtype in ("int8", "int16"):
        return scaled_sum(op, tensors, sign=1)
    return lambda a, b: (activate(np.add(a, b), name).astype(a.dtype, copy=False),)
