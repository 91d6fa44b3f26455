"""LOGISTIC and TANH on all codes of int16, by one table of 256 values and linear interpolation; steps of 2**-15.

    u = 3 * 2**12 * x                   in whole numbers, as far as the multiplier's 15 bits carry
    y = t[i] + (t[i + 1] - t[i]) * f    with i the upper bits of |u| and f the lower 9;   1 - y for negative x
    tanh(x) = 2 y(2 x) - 1              with f the lower 8 bits

Source: TensorFlow Lite, ``reference_integer_ops::Logistic`` and ``Tanh`` for int16 and their table of
65536 / (1 + exp(-i / 24)), whose entries were found by probing. Differs from the source in nothing.
"""

import math
from collections.abc import Sequence

import numpy as np

from tflite_export.interpreter.operands import affine, output, refuse, required
from tflite_export.ir import Op, Tensor

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


def input_scale(op: Op, tensors: Sequence[Tensor]) -> np.float32:
    """The step of the input, if the table can take it, and the output has the step of its values."""
    x, y = required(op, tensors, 0), output(op, tensors)
    scale = affine(op, x)[0]
    if affine(op, y)[0] != np.float32(1 / 32768):
        refuse(op, y, f"the scale must be 1/32768. Received: {affine(op, y)[0]}")
    if float(scale) * 4096 * 3 >= 2**15:
        refuse(op, x, f"the scale must be below 2.66. Received: {scale}")
    return scale


def logistic(x: np.ndarray, scale: np.float32) -> np.ndarray:
    """The codes (int16) of ``1 / (1 + exp(-x * scale))`` for int16 codes ``x`` held in int64."""
    multiplier, shift = multiplier_and_shift(scale, (0,))
    u = (x * multiplier + ((1 << shift) >> 1)) >> shift
    y = _interpolated(np.abs(u), 9, BEYOND)
    return (np.where(u >= 0, y + (1 << 9), (1 << 25) - y + (1 << 9) - 1) >> 10).astype(np.int16)


def tanh(x: np.ndarray, scale: np.float32) -> np.ndarray:
    """The codes (int16) of ``tanh(x * scale)`` for int16 codes ``x`` held in int64."""
    multiplier, shift = multiplier_and_shift(scale, (0, 1))
    u = (x * multiplier + ((1 << shift) >> 1)) >> shift
    y = _interpolated(np.abs(u), 8, 0xFFFF << 8) - (1 << 23)
    return (np.where(u >= 0, y + (1 << 7), -y + (1 << 7) - 1) >> 8).astype(np.int16)


def _interpolated(u: np.ndarray, bits: int, beyond: int) -> np.ndarray:
    """The table at ``u / 2**bits``, times ``2**bits``."""
    place = u >> bits
    here, there = TABLE[np.minimum(place, 254)], TABLE[np.minimum(place, 254) + 1]
    return np.where(place >= 255, beyond, (here << bits) + (u & ((1 << bits) - 1)) * (there - here))
