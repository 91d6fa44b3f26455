"""Fixed-point functions of gemmlowp: Qn.m numbers, n integer bits and m = 31 - n fractional bits, in int64 arrays.

    exp(a), a <= 0:   exp(a) = exp(a mod 1/4 - 1/4) * product of exp(-2**k) over the set bits k of the rest;
                      the first factor by its Taylor polynomial of degree 4 around -1/8
    1 / (1 + x):      Newton's method on the half denominator, y <- y + y * (1 - d * y), from 48/17 - 32/17 * d

Source: gemmlowp, ``fixedpoint/fixedpoint.h``, as used by TensorFlow Lite. Differs from the source in nothing.
"""

import numpy as np

from tflite_export.interpreter.arithmetic import rounding_divide_by_power_of_two as divide
from tflite_export.interpreter.arithmetic import saturating_rounding_doubling_high_mul as multiply
from tflite_export.interpreter.arithmetic import wrap_int32

ONE = 2**31 - 1
"""1.0 in Q0.31, saturated."""

EXP_INTEGER_BITS = 5
"""`exp_on_negative` takes Q5.26."""


def constant(value: float, integer_bits: int = 0) -> int:
    """``value`` in Q``integer_bits``."""
    return int(np.rint(value * 2.0 ** (31 - integer_bits)))


EXP_OF_MINUS_EIGHTH, THIRD = constant(np.exp(-1 / 8)), constant(1 / 3)
EXP_OF_MINUS_POWERS = [(k, constant(np.exp(-(2.0**k)))) for k in range(-2, 5)]


def saturating_shift_left(x: np.ndarray, bits: int) -> np.ndarray:
    """``x * 2**bits`` saturated to int32."""
    return np.clip(x << bits, -(2**31), 2**31 - 1)


def exp_on_negative(a: np.ndarray) -> np.ndarray:
    """``exp(a)`` in Q0.31 for ``a <= 0`` in Q5.26."""
    fraction_bits = 31 - EXP_INTEGER_BITS
    quarter = 1 << (fraction_bits - 2)
    near_zero = (a & (quarter - 1)) - quarter
    result = _exp_between_minus_quarter_and_zero(saturating_shift_left(near_zero, EXP_INTEGER_BITS))
    rest = near_zero - a
    for power, factor in EXP_OF_MINUS_POWERS:
        result = np.where(rest & (1 << (fraction_bits + power)), multiply(result, factor), result)
    return np.where(a == 0, ONE, result)


def _exp_between_minus_quarter_and_zero(a: np.ndarray) -> np.ndarray:
    x = a + constant(1 / 8)
    x2 = multiply(x, x)
    x3, x4 = multiply(x2, x), multiply(x2, x2)
    cubic_and_quartic = multiply(divide(x4, 2) + x3, THIRD)
    polynomial = x + divide(cubic_and_quartic + x2, 1)
    return wrap_int32(EXP_OF_MINUS_EIGHTH + multiply(polynomial, EXP_OF_MINUS_EIGHTH))


def reciprocal(x: np.ndarray, integer_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """``(r, k)`` with ``1 / x = r * 2**-k``, ``r`` in Q0.31, for ``x`` > 0 in Q``integer_bits``. ``GetReciprocal``."""
    headroom = 31 - np.floor(np.log2(x)).astype(np.int64)
    normal = (x << np.maximum(headroom, 0)) >> np.maximum(-headroom, 0)
    return _one_over_one_plus(normal - (1 << 31)), integer_bits - headroom


def _one_over_one_plus(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + x)`` in Q0.31 for ``x`` in [0, 1) in Q0.31; Newton's iterate is in Q2.29."""
    half_denominator = (x + ONE + 1) >> 1
    y = constant(48 / 17, 2) + multiply(half_denominator, constant(-32 / 17, 2))
    for _ in range(3):
        error = constant(1.0, 2) - multiply(half_denominator, y)
        y = y + saturating_shift_left(multiply(y, error), 2)
    return saturating_shift_left(y, 1)
