"""Fixed-point functions of gemmlowp on int16: Qn.m numbers, n integer bits and m = 15 - n fractional bits.

The gates of an int8 LSTM pass through a logistic of Q3.12 and a tanh of Qn.m. Both are made of the functions that
``fixed_point.py`` describes, in half the width:

    logistic(a)  =  1 / (1 + exp(-|a|)),                      mirrored for negative a
    tanh(a)      =  (1 - exp(-2|a|)) / (1 + exp(-2|a|)),      mirrored for negative a

int16 has 65,536 values only, so each function is a table, made once, whose index is the code's bytes as uint16.

Source: gemmlowp, ``fixedpoint/fixedpoint.h`` with ``int16_t``, as used by TensorFlow Lite. Differs from the source in
nothing that can be observed.
"""

import functools

import numpy as np

from tflite_export.interpreter import fixed_point
from tflite_export.interpreter.arithmetic import rounding_divide_by_power_of_two as divide

ONE = 2**15 - 1
"""1.0 in Q0.15, saturated."""

LOGISTIC_INTEGER_BITS = 3
"""What goes into the logistic, and into the tanh of the candidate gate, is in Q3.12."""


@functools.cache
def logistic_table() -> np.ndarray:
    """The logistic in Q0.15 of every code in Q3.12; int16 (65536,)."""
    codes = _every_code()
    size = _wrapped(np.where(codes < 0, codes, -codes))  # minus the magnitude
    share = _saturated(_newton(_exp_on_negative(size, LOGISTIC_INTEGER_BITS)) << 1)
    return np.where(codes == 0, 1 << 14, np.where(codes > 0, share, ONE - share)).astype(np.int16)


@functools.cache
def tanh_table(integer_bits: int) -> np.ndarray:
    """The tanh in Q0.15 of every code in Q``integer_bits`` (0 to 6); int16 (65536,)."""
    codes = _every_code()
    doubled = np.where(codes < 0, codes, -codes)  # the same bits with one integer bit more are twice the number
    ratio = _saturated((_newton(_exp_on_negative(doubled, integer_bits + 1)) - (1 << 13)) << 2)
    return np.where(codes == 0, 0, np.where(codes < 0, -ratio, ratio)).astype(np.int16)


def _every_code() -> np.ndarray:
    """The codes of int16 in the order of their bytes."""
    return np.arange(2**16).astype(np.uint16).view(np.int16).astype(np.int64)


def _constant(value: int) -> int:
    """A constant of Q0.31 or Q2.29 in half the width."""
    return (value + (1 << 15)) >> 16


def _saturated(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(2**15), 2**15 - 1)


def _wrapped(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.int64).astype(np.int16).astype(np.int64)


def _multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """``a * b / 2**15`` rounded half up, saturated at the one overflow."""
    return np.minimum((a * b + (1 << 14)) >> 15, 2**15 - 1)


def _exp_on_negative(a: np.ndarray, integer_bits: int) -> np.ndarray:
    """``exp(a)`` in Q0.15 for ``a <= 0`` in Q``integer_bits``."""
    fraction_bits = 15 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    near_zero = (a & (quarter - 1)) - quarter
    result = _exp_between_minus_quarter_and_zero(_saturated(near_zero << integer_bits))
    rest = near_zero - a
    for power, factor in fixed_point.EXP_OF_MINUS_POWERS:
        if integer_bits > power:
            result = np.where(rest & (1 << (fraction_bits + power)), _multiply(result, _constant(factor)), result)
    if integer_bits > 5:  # beyond the largest factor
        result = np.where(a < -(1 << (fraction_bits + 5)), 0, result)
    return np.where(a == 0, ONE, result)


def _exp_between_minus_quarter_and_zero(a: np.ndarray) -> np.ndarray:
    """By the Taylor polynomial of degree 4 around -1/8."""
    x = _wrapped(a + (1 << 12))
    x2 = _multiply(x, x)
    x3, x4 = _multiply(x2, x), _multiply(x2, x2)
    cubic_and_quartic = _wrapped(_multiply(_wrapped(divide(x4, 2) + x3), _constant(fixed_point.THIRD)))
    polynomial = _wrapped(x + divide(_wrapped(cubic_and_quartic + x2), 1))
    middle = _constant(fixed_point.EXP_OF_MINUS_EIGHTH)
    return _saturated(middle + _multiply(polynomial, middle))


def _newton(x: np.ndarray) -> np.ndarray:
    """``2 / (1 + x)`` in Q2.13 for ``x`` in [0, 1] in Q0.15."""
    half_denominator = (x + ONE + 1) >> 1
    slope = _constant(fixed_point.constant(-32 / 17, 2))
    y = _wrapped(_constant(fixed_point.constant(48 / 17, 2)) + _multiply(half_denominator, slope))
    for _ in range(3):
        error = (1 << 13) - _multiply(half_denominator, y)
        y = _wrapped(y + _saturated(_multiply(y, error) << 2))
    return y
