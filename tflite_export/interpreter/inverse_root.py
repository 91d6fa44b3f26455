"""Inverse square roots of whole numbers in fixed point, as RSQRT and L2_NORMALIZATION take them.

    1 / sqrt(d)  ~  m * 2**(s - 31)

``d`` is brought to 29 bits by a power of 4, and five Newton steps, ``r <- (3 r - d r**3) / 2`` in Q3.28, lead from 1 to
the root.

Source: TensorFlow Lite, ``GetInvSqrtQuantizedMultiplierExp`` in ``kernels/internal/common.h``. Differs from the source
in nothing that can be observed.
"""

import numpy as np

from tflite_export.interpreter.arithmetic import rounding_divide_by_power_of_two as divide
from tflite_export.interpreter.arithmetic import saturating_rounding_doubling_high_mul as multiply
from tflite_export.interpreter.fixed_point import constant, saturating_shift_left

NEWTON_STEPS = 5


def inverse_square_root(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(m, s)`` for int32 ``d`` >= 0, held in int64; of 0 and 1 it is (2**31 - 1, 0)."""
    small = d <= 1
    quarters = (d >= 1 << 29).astype(np.int64)
    d = np.maximum(d >> 2 * quarters, 2)
    pairs = (31 - np.frexp(d.astype(np.float64))[1].astype(np.int64)) // 2 - 1
    root = _newton(d << 2 * pairs >> 1)
    shift = 11 + quarters - pairs
    m = multiply(root, constant(float(np.sqrt(0.5)))) << np.maximum(-shift, 0)
    return np.where(small, 2**31 - 1, m), np.where(small, 0, -np.maximum(shift, 0))


def _newton(d: np.ndarray) -> np.ndarray:
    half, three_halves, root = divide(d, 1), constant(1.5, 3), np.full(d.shape, constant(1.0, 3))
    for _ in range(NEWTON_STEPS):
        cube = saturating_shift_left(multiply(multiply(root, root), root), 6)
        root = saturating_shift_left(multiply(root, three_halves) - multiply(half, cube), 3)
    return root
