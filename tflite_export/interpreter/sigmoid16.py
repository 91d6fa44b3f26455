"""LOGISTIC on all codes of int16, by a table of 256 values and linear interpolation; the result has the step 2**-15.

    u = 3 * 2**12 * x                   in whole numbers, as far as the multiplier's 15 bits carry
    y = t[i] + (t[i + 1] - t[i]) * f    with i the upper bits of |u| and f the lower 9;   1 - y for negative x

Source: TensorFlow Lite, ``reference_integer_ops::Logistic`` for int16 and its table of 65536 / (1 + exp(-i / 24)),
whose entries were found by probing. Differs from the source in nothing.
"""

import math

import numpy as np

ROUNDED_UP = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45, 46, 49,
    50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
)  # fmt: skip
"""Entries that are one more than the nearest whole number."""

TABLE = np.rint(65536.0 / (1.0 + np.exp(-np.arange(256) / 24.0))).astype(np.int64)
TABLE[list(ROUNDED_UP)] += 1

BEYOND = 0x7FFF << 10
"""The sum for arguments behind the table."""


def multiplier_and_shift(scale: np.float32, exponents: tuple[int, ...]) -> tuple[int, int]:
    """How codes become table positions: exactly for the powers of two ``2**(k - 12)``, ``k`` in ``exponents``."""
    exponent = round(math.log2(scale))
    if abs(math.log2(scale) - exponent) < 1e-3 and exponent + 12 in exponents:
        return 3 << (exponent + 12), 0
    multiplier, shift = float(scale) * 4096 * 3, 0
    while multiplier <= 32767 / 2 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return int(multiplier), shift


def logistic(x: np.ndarray, scale: np.float32) -> np.ndarray:
    """The codes (int16) of ``1 / (1 + exp(-x * scale))`` for int16 codes ``x`` held in int64."""
    multiplier, shift = multiplier_and_shift(scale, (0,))
    u = (x * multiplier + ((1 << shift) >> 1)) >> shift
    place = np.abs(u) >> 9
    here, there = TABLE[np.minimum(place, 254)], TABLE[np.minimum(place, 254) + 1]
    y = np.where(place >= 255, BEYOND, (here << 9) + (np.abs(u) & 511) * (there - here))
    return (np.where(u >= 0, y + (1 << 9), (1 << 25) - y + (1 << 9) - 1) >> 10).astype(np.int16)
