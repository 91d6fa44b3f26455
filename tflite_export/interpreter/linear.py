"""Convolutions and products of int8 as loops over tiles of totals: gather, multiply, rescale, all in the nearest cache.

int32 holds every sum as the reference kernels have it, however long, and wraps as theirs. The products are those of
`vectors`; weights are brought into the order in which these want them once, codes while a block is computed.

Numba renews what it compiled when this file changes, but does not see changes of `fused` and `vectors`: touch it then.
"""

import numpy as np
from numba import njit

from tflite_export.interpreter.fused import BIAS, Rescale, rescaled
from tflite_export.interpreter.vectors import (
    CODE,
    DEPTH,
    LANES,
    PANEL,
    PIXELS,
    ROWS,
    WEIGHT,
    multiply_tile,
    slide_tile,
    wide_vectors,
)

BLOCK = 2 * ROWS
"""Rows of a matrix product at a time."""

RAISE = 128
"""What is added to the codes of a matrix product, so that they need no sign."""


def panels(weights: np.ndarray) -> np.ndarray:
    """``weights`` (K, outputs) as words (panels, ceil(K / DEPTH), PANEL): a word holds DEPTH rows of a column."""
    depth, outputs = weights.shape
    whole = np.zeros((-(-depth // DEPTH) * DEPTH, -(-outputs // PANEL) * PANEL), WEIGHT)
    whole[:depth, :outputs] = weights
    words = whole.reshape(len(whole) // DEPTH, DEPTH, -1, PANEL)
    return np.ascontiguousarray(words.transpose(2, 0, 3, 1)).view(np.int32)[..., 0]


def raised(rule: Rescale, weights: np.ndarray) -> Rescale:
    """``rule`` for sums with raised codes: what these add, ``RAISE * sum(w)``, leaves with the bias; int32 wraps."""
    table = rule.table.copy()
    table[BIAS] -= RAISE * weights.sum(0, dtype=np.int32)
    return rule._replace(table=table)


def stacks(weights: np.ndarray) -> np.ndarray:
    """``weights`` (kh, kw, C) as words (ceil(kh / 2), kw, C up to whole vectors): a word holds two rows of a window."""
    height, width, channels = weights.shape
    whole = np.zeros((height + height % 2, width, -(-channels // LANES) * LANES), np.int16)
    whole[:height, :, :channels] = weights
    return np.ascontiguousarray(whole.reshape(-1, 2, *whole.shape[1:]).transpose(0, 2, 3, 1)).view(np.int32)[..., 0]


@njit(cache=True, inline="always")
def _raise(codes: np.ndarray, out: np.ndarray) -> None:
    for k in range(len(codes)):
        out[k] = CODE(codes[k] + RAISE)


@njit(cache=True, inline="always")
def _multiply(seen: np.ndarray, matrix: np.ndarray, count: int, total: np.ndarray) -> None:
    """``total = seen @ matrix`` for ``count`` rows, or a few more; ``matrix`` as `panels` makes it."""
    words = seen.view(np.int32)
    for p in range(len(matrix)):
        for row in range(0, count, ROWS):
            multiply_tile(words[row : row + ROWS], matrix[p], total[row : row + ROWS, p * PANEL : (p + 1) * PANEL])


@njit(cache=True, inline="always")
def _rescale(total: np.ndarray, count: int, rule: Rescale, codes: np.ndarray) -> None:
    """``codes = rescaled(total)`` for ``count`` rows."""
    table, wide, zero_point, low, high = rule
    for row in range(count):
        code = codes[row]
        for c in range(codes.shape[1]):
            code[c] = rescaled(total[row, c], c, table, wide, zero_point, low, high)


@njit(cache=True, inline="always")
def _raise_rows(x: np.ndarray, seen: np.ndarray) -> None:
    if x.shape[1] == seen.shape[1]:  # rows lie side by side: one loop instead of many short ones
        _raise(x.reshape(-1), seen.reshape(-1))
    else:
        for row in range(len(x)):
            _raise(x[row], seen[row])


@njit(cache=True)
def multiply(x: np.ndarray, matrix: np.ndarray, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescaled(x @ matrix)``: codes (rows, K), `panels`, a rule that is `raised`, codes (rows, outputs)."""
    wide_vectors()
    seen = np.zeros((BLOCK, DEPTH * matrix.shape[1]), CODE)
    total = np.empty((BLOCK, len(matrix) * PANEL), np.int32)
    for first in range(0, len(x), BLOCK):
        count = min(BLOCK, len(x) - first)
        _raise_rows(x[first : first + count], seen)
        _multiply(seen, matrix, count, total)
        _rescale(total, count, rule, out[first : first + count])


@njit(cache=True)
def accumulate(x: np.ndarray, matrix: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
    """``out = x @ matrix + bias``, where codes are raised: int8 (rows, K), `panels`, int32 (outputs,), int32."""
    wide_vectors()
    seen = np.zeros((BLOCK, DEPTH * matrix.shape[1]), CODE)
    total = np.empty((BLOCK, len(matrix) * PANEL), np.int32)
    for first in range(0, len(x), BLOCK):
        count = min(BLOCK, len(x) - first)
        _raise_rows(x[first : first + count], seen)
        _multiply(seen, matrix, count, total)
        for row in range(count):
            for c in range(len(bias)):
                out[first + row, c] = total[row, c] + bias[c]


@njit(cache=True)
def convolve(
    padded: np.ndarray,
    matrix: np.ndarray,
    window: tuple[int, int, int, int],
    steps: tuple[int, int, int, int],
    channel: int,
    rule: Rescale,
    out: np.ndarray,
) -> None:
    """Convolution of a map that has its border.

    Args:
        padded: int8 (N, H, W * C).
        matrix: Weights as `panels` of (K, outputs), K in the order in which a window is seen.
        window: Rows of a window, pieces in a row, codes from one piece to the next, codes in a piece.
        steps: From window to window in rows and in codes, from row to row of a window, first code of each.
        channel: First of ``out`` to be written.
        rule: For the outputs, `raised`.
        out: int8 (N, H, W, all outputs).
    """
    wide_vectors()
    size, pieces, apart, run = window
    down, across, deep, start = steps
    images, height, width, _ = out.shape
    rows, last = images * height * width, channel + rule.table.shape[1]
    codes = out.reshape(rows, out.shape[3])
    seen = np.zeros((BLOCK, DEPTH * matrix.shape[1]), CODE)
    total = np.empty((BLOCK, len(matrix) * PANEL), np.int32)
    for first in range(0, rows, BLOCK):
        count = min(BLOCK, rows - first)
        for row in range(count):
            line, x = divmod(first + row, width)
            n, y = divmod(line, height)
            for i in range(size):
                for j in range(pieces):
                    place, k = start + x * across + j * apart, (i * pieces + j) * run
                    _raise(padded[n, y * down + i * deep, place : place + run], seen[row, k : k + run])
        _multiply(seen, matrix, count, total)
        _rescale(total, count, rule, codes[first : first + count, channel:last])


@njit(cache=True)
def depthwise(
    x: np.ndarray,
    weights: np.ndarray,
    before: tuple[int, int],
    steps: tuple[int, int, int, int],
    zero: int,
    rule: Rescale,
    out: np.ndarray,
) -> None:
    """Depthwise convolution.

    The rows that one row of the output sees come together two by two, less the zero point: what lies outside is 0.

    Args:
        x: int8 (N, H, W, C).
        weights: As `stacks` makes them.
        before: Rows and columns of padding.
        steps: Strides and dilations.
        zero: Zero point of ``x``.
        rule: For the outputs.
        out: int8 (N, H, W, C).
    """
    wide_vectors()
    (top, left), (down, across, deep, apart) = before, steps
    images, height, width, channels = out.shape
    pairs, size, lanes = weights.shape
    last = (-(-width // PIXELS) * PIXELS - 1) * across + (size - 1) * apart  # that a tile sees
    seen = np.zeros((pairs, max(left + x.shape[2], last + 1), lanes), np.int32)
    total = np.empty((PIXELS, lanes), np.int32)
    outside = np.full((x.shape[2], channels), zero, np.int8)
    for n in range(images):
        for y in range(height):
            for p in range(pairs):
                upper = y * down - top + 2 * p * deep
                lower = upper + deep
                first = x[n, upper] if 0 <= upper < x.shape[1] else outside
                second = x[n, lower] if 0 <= lower < x.shape[1] else outside
                for j in range(x.shape[2]):
                    for c in range(channels):
                        word = (np.int32(first[j, c]) - zero) & 0xFFFF | (np.int32(second[j, c]) - zero) << 16
                        seen[p, left + j, c] = word
            for j in range(0, width, PIXELS):
                for c in range(0, lanes, LANES):
                    part, own = seen[:, j * across :, c : c + LANES], weights[:, :, c : c + LANES]
                    slide_tile(part, own, across, apart, total[:, c : c + LANES])
                count = min(PIXELS, width - j)
                _rescale(total, count, rule, out[n, y, j : j + count])
