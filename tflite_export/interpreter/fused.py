"""The inner loops that NumPy would need several passes for, compiled by Numba on first use.

Numba keeps what it compiled beside this file and renews it when this file changes. What the loops take from outside
as a constant therefore stands here too.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tflite_export.interpreter.arithmetic import quantize_multiplier


class Rescale(NamedTuple):
    """From int32 accumulators to int8 codes, ``clip(MBQM(x + bias) + zero_point)``, made ready for a fused pass.

    Attributes:
        table: int32 (6, channels), one row per name in ``BIAS`` to ``RIGHT``. With ``s`` the shift of a channel:
            ``power`` is ``2**max(s, 0)``, ``right`` is ``max(-s, 0)``, ``mask`` is ``2**right - 1``, ``half`` is
            ``mask >> 1``. One array, so that a compiler sees at once that the output does not overlap it.
        zero_point: Added after the rounding.
        low: Lowest code.
        high: Highest code.
    """

    table: np.ndarray
    zero_point: np.int32
    low: np.int32
    high: np.int32


BIAS, POWER, MULTIPLIER, MASK, HALF, RIGHT = range(6)


def rescale(
    multipliers: np.ndarray | int, shifts: np.ndarray | int, limits: tuple[int, int, int], bias: np.ndarray | int = 0
) -> Rescale:
    """Prepares MBQM with the pairs ``multipliers``, ``shifts``; ``limits`` are zero point, lowest and highest code."""
    shifts = np.atleast_1d(np.asarray(shifts, np.int64))
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    mask = (np.int64(1) << right) - 1
    rows = np.broadcast_arrays(np.asarray(bias, np.int64), np.int64(1) << left, multipliers, mask, mask >> 1, right)
    return Rescale(np.stack(rows).astype(np.int32), *map(np.int32, limits))


def rescale_by(reals: np.ndarray | float, limits: tuple[int, int, int], bias: np.ndarray | int = 0) -> Rescale:
    """`rescale` for the real multipliers ``reals`` (float64, one per channel or one in all)."""
    pairs = [quantize_multiplier(float(real)) for real in np.atleast_1d(reals)]
    multipliers, shifts = np.array(pairs, np.int64).T
    return rescale(multipliers, shifts, limits, bias)


@njit(cache=True, inline="always")
def _rescale(
    x: np.int32, channel: int, table: np.ndarray, zero_point: np.int32, low: np.int32, high: np.int32
) -> np.int8:
    """MBQM, zero point, clip, in wrapping int32; ``* power`` is the shift to the left.

    The rule comes in parts, as `Rescale` has them: taken apart inside a loop, it would keep that from being vectorised.
    """
    shifted = np.int32(np.int32(x + table[BIAS, channel]) * table[POWER, channel])
    value = np.int32((np.int64(shifted) * np.int64(table[MULTIPLIER, channel]) + (1 << 30)) >> 31)
    up = (value & table[MASK, channel]) > np.int32(table[HALF, channel] + np.int32(value < 0))
    code = np.int32((value >> table[RIGHT, channel]) + np.int32(up) + zero_point)
    return np.int8(min(max(code, low), high))


@njit(cache=True)
def requantize(accumulator: np.ndarray, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescale(accumulator)``, rows by channels; the accumulator holds whole numbers in any type."""
    table, zero_point, low, high = rule
    rows, channels = accumulator.shape
    for row in range(rows):
        for c in range(channels):
            out[row, c] = _rescale(np.int32(accumulator[row, c]), c, table, zero_point, low, high)


@njit(cache=True)
def requantize_double(
    accumulator: np.ndarray, bias: np.ndarray, real: np.ndarray, limits: tuple[int, int, int], out: np.ndarray
) -> None:
    """``out = clip(round((accumulator + bias) * real) + zero_point)`` in float64, halves away from zero."""
    zero_point, low, high = limits
    rows, channels = accumulator.shape
    for row in range(rows):
        for channel in range(channels):
            value = np.float64(np.int32(np.int32(accumulator[row, channel]) + bias[channel])) * real[channel]
            whole = np.trunc(value)
            whole += np.copysign(1.0 if abs(value - whole) >= 0.5 else 0.0, value)
            out[row, channel] = min(max(np.int64(whole) + zero_point, low), high)


@njit(cache=True)
def depthwise(
    padded: np.ndarray, weight: np.ndarray, steps: tuple[int, int, int, int], rule: Rescale, out: np.ndarray
) -> None:
    """Depthwise convolution of ``padded`` int8 (N, H, W, C) with ``weight`` int32 (kh, kw, C); ``out`` int8."""
    table, zero_point, low, high = rule
    stride_h, stride_w, dilation_h, dilation_w = steps
    images, height, width, channels = out.shape
    accumulator = np.empty(channels, np.int32)
    for n in range(images):
        for y in range(height):
            for x in range(width):
                accumulator[:] = 0
                for i in range(weight.shape[0]):
                    for j in range(weight.shape[1]):
                        seen = padded[n, y * stride_h + i * dilation_h, x * stride_w + j * dilation_w]
                        for c in range(channels):
                            accumulator[c] += np.int32(seen[c]) * weight[i, j, c]
                for c in range(channels):
                    out[n, y, x, c] = _rescale(accumulator[c], c, table, zero_point, low, high)


@njit(cache=True)
def add(a: np.ndarray, b: np.ndarray, table_a: np.ndarray, table_b: np.ndarray, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescale(table_a[a] + table_b[b])`` over flat arrays; ``a`` and ``b`` are the bytes of the codes."""
    table, zero_point, low, high = rule
    for k in range(out.size):
        total = np.int32(table_a[a[k]] + table_b[b[k]])
        out[k] = _rescale(total, 0, table, zero_point, low, high)


@njit(cache=True)
def multiply(a: np.ndarray, b: np.ndarray, zero_a: int, zero_b: int, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescale((a - zero_a) * (b - zero_b))`` over flat int8 arrays."""
    table, zero_point, low, high = rule
    for k in range(out.size):
        product = np.int32((np.int64(a[k]) - zero_a) * (np.int64(b[k]) - zero_b))
        out[k] = _rescale(product, 0, table, zero_point, low, high)
