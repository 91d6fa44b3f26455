"""The inner loops that NumPy would need several passes for, compiled by Numba on first use.

Numba keeps what it compiled beside this file and renews it when this file changes. What the loops take from outside
as a constant therefore stands here too.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from tflite_export.interpreter.arithmetic import quantize_multiplier, reduced_multiplier
from tflite_export.interpreter.vectors import wide_vectors


class Rescale(NamedTuple):
    """From int32 accumulators to codes, ``clip(MBQM(x + bias) + zero_point)``, made ready for a fused pass.

    With ``s`` the shift of a channel, ``left = max(s, 0)`` and ``right = max(-s, 0)``, both roundings are one shift:

        q    = ((x + bias) << left) * m + 2**30
        MBQM = (q + half + (away if q < 0 else 0)) >> (31 + right)
        half = 2**(right - 1 + 31),  away = -2**31;  both 0 if right is 0

    for ``floor((floor(q / 2**31) + h) / 2**right)`` is ``floor((q + h * 2**31) / 2**(31 + right))``, and RDPOT is the
    former with ``h = 2**(right - 1)``, one less for negative ``q``. Nothing leaves 64 bits.

    Attributes:
        table: int32 (3, channels), one row per name in ``BIAS`` to ``MULTIPLIER``.
        wide: int64 (3, channels), one row per name in ``HALF`` to ``RIGHT``, the last holding ``31 + right``.
        zero_point: Added after the rounding.
        low: Lowest code.
        high: Highest code.
    """

    table: np.ndarray
    wide: np.ndarray
    zero_point: np.int32
    low: np.int32
    high: np.int32

    def part(self, first: int, count: int) -> "Rescale":
        """The rule of ``count`` of the channels."""
        table, wide = (np.ascontiguousarray(rows[:, first : first + count]) for rows in (self.table, self.wide))
        return self._replace(table=table, wide=wide)


BIAS, LEFT, MULTIPLIER = range(3)
HALF, AWAY, RIGHT = range(3)


def rescale(
    multipliers: np.ndarray | int, shifts: np.ndarray | int, limits: tuple[int, int, int], bias: np.ndarray | int = 0
) -> Rescale:
    """Prepares MBQM with the pairs ``multipliers``, ``shifts``; ``limits`` are zero point, lowest and highest code."""
    shifts = np.atleast_1d(np.asarray(shifts, np.int64))
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    table = np.stack(np.broadcast_arrays(np.asarray(bias, np.int64), left, multipliers)).astype(np.int32)
    half = np.where(right > 0, np.int64(1) << (right + 30), 0)
    wide = np.stack([half, np.where(right > 0, -(1 << 31), 0), right + 31])
    wide = np.ascontiguousarray(np.broadcast_to(wide, (3, table.shape[1])))
    return Rescale(table, wide, *map(np.int32, limits))


def rescale_by(reals: np.ndarray | float, limits: tuple[int, int, int], bias: np.ndarray | int = 0) -> Rescale:
    """`rescale` for the real multipliers ``reals`` (float64, one per channel or one in all)."""
    pairs = [quantize_multiplier(float(real)) for real in np.atleast_1d(reals)]
    multipliers, shifts = np.array(pairs, np.int64).T
    return rescale(multipliers, shifts, limits, bias)


@njit(cache=True, inline="always")
def rescaled(
    x: np.int32, c: int, table: np.ndarray, wide: np.ndarray, zero_point: np.int32, low: np.int32, high: np.int32
) -> np.int32:
    """The code of the accumulator ``x`` of channel ``c``; int32 wraps.

    The rule comes in parts, as `Rescale` has them: taken apart inside a loop, it would keep that from being vectorised.
    """
    shifted = np.int32(np.int32(x + table[BIAS, c]) << table[LEFT, c])
    q = np.int64(shifted) * np.int64(table[MULTIPLIER, c]) + (1 << 30)
    q += wide[HALF, c] + ((q >> 63) & wide[AWAY, c])
    code = np.int32(np.int32(q >> wide[RIGHT, c]) + zero_point)
    return min(max(code, low), high)


@njit(cache=True)
def requantize(accumulator: np.ndarray, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescaled(accumulator)``, rows by channels; the accumulator holds whole numbers in any type."""
    wide_vectors()
    table, wide, zero_point, low, high = rule
    rows, channels = accumulator.shape
    for row in range(rows):
        for c in range(channels):
            out[row, c] = rescaled(np.int32(accumulator[row, c]), c, table, wide, zero_point, low, high)


@njit(cache=True, inline="always")
def _away(value: np.float64) -> np.float64:
    """The nearest whole number, halves away from zero."""
    whole = np.trunc(value)
    return whole + np.copysign(1.0 if abs(value - whole) >= 0.5 else 0.0, value)


@njit(cache=True)
def requantize_double(
    accumulator: np.ndarray, bias: np.ndarray, real: np.ndarray, limits: tuple[int, int, int], out: np.ndarray
) -> None:
    """``out = clip(round((accumulator + bias) * real) + zero_point)`` in float64; the sum is an int32, which wraps."""
    zero_point, low, high = limits
    rows, channels = accumulator.shape
    for row in range(rows):
        for channel in range(channels):
            total = np.int32(np.int32(accumulator[row, channel]) + bias[channel])
            whole = _away(np.float64(total) * real[channel])
            out[row, channel] = min(max(np.int64(whole) + zero_point, low), high)


@njit(cache=True)
def requantize_double_wide(
    accumulator: np.ndarray, bias: np.ndarray, real: np.ndarray, limits: tuple[int, int, int], out: np.ndarray
) -> None:
    """The same with sums in int64; ``accumulator`` holds whole numbers in float64."""
    zero_point, low, high = limits
    rows, channels = accumulator.shape
    for row in range(rows):
        for channel in range(channels):
            total = np.int64(accumulator[row, channel]) + bias[channel]
            whole = _away(np.float64(total) * real[channel])
            out[row, channel] = min(max(np.int64(whole) + zero_point, low), high)


class WideRescale(NamedTuple):
    """From int64 accumulators to int16 codes, ``clip(MBQM64(x + bias))``, made ready for a fused pass.

    Attributes:
        bias: int64 (channels,).
        multiplier: The multipliers of 16 bits, int64 (channels,).
        right: By how many bits to shift to the right, int64 (channels,).
        low: Lowest code.
        high: Highest code.
    """

    bias: np.ndarray
    multiplier: np.ndarray
    right: np.ndarray
    low: int
    high: int


def rescale_wide(reals: np.ndarray, limits: tuple[int, int, int], bias: np.ndarray) -> WideRescale:
    """Prepares MBQM64 for the real multipliers ``reals`` (float64, one per channel); the zero point is 0."""
    multipliers, shifts = np.array([quantize_multiplier(float(real)) for real in reals], np.int64).T
    return WideRescale(bias.astype(np.int64), reduced_multiplier(multipliers), 15 - shifts, *limits[1:])


@njit(cache=True)
def requantize_wide(accumulator: np.ndarray, rule: WideRescale, out: np.ndarray) -> None:
    """``out = rescale(accumulator)``, rows by channels; the accumulator holds whole numbers in float64."""
    bias, multiplier, right, low, high = rule
    rows, channels = accumulator.shape
    for row in range(rows):
        for c in range(channels):
            total = (np.int64(accumulator[row, c]) + bias[c]) * multiplier[c]
            code = np.int32((total + (np.int64(1) << (right[c] - 1))) >> right[c])  # wraps, as the kernel's does
            out[row, c] = min(max(np.int64(code), low), high)


@njit(cache=True)
def add(
    a: np.ndarray, b: np.ndarray, rules: tuple[Rescale, Rescale], sign: np.int32, rule: Rescale, out: np.ndarray
) -> None:
    """``out = rescaled(rescaled(a) + sign * rescaled(b))`` over flat arrays of codes, each by its rule."""
    wide_vectors()
    table_a, wide_a, zero_a, low_a, high_a = rules[0]
    table_b, wide_b, zero_b, low_b, high_b = rules[1]
    table, wide, zero_point, low, high = rule
    for k in range(out.size):
        left = rescaled(np.int32(a[k]), 0, table_a, wide_a, zero_a, low_a, high_a)
        right = rescaled(np.int32(b[k]), 0, table_b, wide_b, zero_b, low_b, high_b)
        out[k] = rescaled(np.int32(left + sign * right), 0, table, wide, zero_point, low, high)


@njit(cache=True)
def multiply(a: np.ndarray, b: np.ndarray, zero_a: int, zero_b: int, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescale((a - zero_a) * (b - zero_b))`` over flat arrays of codes."""
    wide_vectors()
    table, wide, zero_point, low, high = rule
    for k in range(out.size):
        product = np.int32((np.int64(a[k]) - zero_a) * (np.int64(b[k]) - zero_b))
        out[k] = rescaled(product, 0, table, wide, zero_point, low, high)


@njit(cache=True)
def _erfc(x: np.ndarray, out: np.ndarray) -> None:
    for k in range(out.size):
        out[k] = math.erfc(x[k])


def erfc(x: np.ndarray) -> np.ndarray:
    """``1 - erf(x)`` of float32 values, by the C library's function for these."""
    y = np.empty(x.shape, np.float32)
    _erfc(np.ascontiguousarray(x, np.float32).reshape(-1), y.reshape(-1))
    return y


@njit(cache=True)
def _tanh(x: np.ndarray, out: np.ndarray) -> None:
    for k in range(out.size):
        out[k] = math.tanh(x[k])


def tanh(x: np.ndarray) -> np.ndarray:
    """Of float32 values, by the C library's function for these, whose last bit is not always that of NumPy's."""
    y = np.empty(x.shape, np.float32)
    _tanh(np.ascontiguousarray(x, np.float32).reshape(-1), y.reshape(-1))
    return y


@njit(cache=True)
def lstm_step(
    inputs: np.ndarray,
    sums: np.ndarray,
    rule: Rescale,
    functions: tuple[np.ndarray, np.ndarray, np.ndarray],
    cell_rule: tuple[int, int],
    hidden: Rescale,
    cell: np.ndarray,
    out: np.ndarray,
) -> None:
    """One step in time of an int8 LSTM; see ``kernels/unidirectional_sequence_lstm.py`` for the equations.

    Args:
        inputs: What the input adds to the gates, int16 (samples, 4 units), gates in the order i, f, c, o.
        sums: Products of the last output with the recurrent weights, whole numbers of that shape.
        rule: From ``sums`` to gates, not yet saturated to int16.
        functions: Tables of logistic and tanh of Q3.12 and tanh of the cell state, int16 (65536,).
        cell_rule: Right shift of ``i * g``, and the largest magnitude of the cell state, 0 for none.
        hidden: From ``o * tanh(c)`` to the code of the output.
        cell: Cell state, int16 (samples, units); changed.
        out: The output, int8 (samples, units).
    """
    logistic, tanh, tanh_of_cell = functions
    table, wide, zero, lowest, highest = rule
    hidden_table, hidden_wide, zero_point, low, high = hidden
    shift, clip = cell_rule
    samples, units = cell.shape
    gates = np.empty(4 * units, np.uint16)
    for n in range(samples):
        for k in range(4 * units):
            gate = rescaled(np.int32(sums[n, k]), k, table, wide, zero, lowest, highest) + inputs[n, k]
            gates[k] = np.uint16(min(max(gate, -32768), 32767))
        for k in range(units):
            i, f = np.int32(logistic[gates[k]]), np.int32(logistic[gates[k + units]])
            g, o = np.int32(tanh[gates[k + 2 * units]]), np.int32(logistic[gates[k + 3 * units]])
            c = _rounded_shift(f * np.int32(cell[n, k]), 15) + _rounded_shift(i * g, shift)
            c = min(max(c, -32768), 32767)
            if clip > 0:
                c = min(max(c, -clip), clip)
            cell[n, k] = c
            product = np.int32(o * np.int32(tanh_of_cell[np.uint16(c)]))
            out[n, k] = rescaled(product, 0, hidden_table, hidden_wide, zero_point, low, high)


@njit(cache=True, inline="always")
def _rounded_shift(x: Any, bits: int) -> Any:
    """RDPOT."""
    mask = (np.int64(1) << bits) - 1
    up = (np.int64(x) & mask) > (mask >> 1) + np.int64(x < 0)
    return (np.int64(x) >> bits) + np.int64(up)
