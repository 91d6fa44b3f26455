"""The inner loops that NumPy would need several passes for, compiled by Numba on first use."""

import numpy as np
from numba import njit

from tflite_export.interpreter.arithmetic import Rescale


@njit(cache=True, inline="always")
def _rescale(x: np.int32, rule: Rescale, channel: int) -> np.int64:
    """MBQM, zero point, clip: see `arithmetic`. ``x * power`` wraps, as the shifted int32 does."""
    product = np.int64(np.int32(x * rule.power[channel])) * rule.multiplier[channel]
    value = (product + (1 << 30)) >> 31
    value = (value + rule.half[channel] + ((value >> 63) & rule.tie[channel])) >> rule.right[channel]
    return min(max(value + rule.zero_point, rule.low), rule.high)


@njit(cache=True)
def requantize(accumulator: np.ndarray, bias: np.ndarray, rule: Rescale, out: np.ndarray) -> None:
    """``out = clip(MBQM(accumulator + bias) + zero_point)``, rows by channels; the accumulator holds whole numbers."""
    rows, channels = accumulator.shape
    for row in range(rows):
        for channel in range(channels):
            x = np.int32(np.int32(accumulator[row, channel]) + bias[channel])
            out[row, channel] = _rescale(x, rule, channel)


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
    padded: np.ndarray, weight: np.ndarray, bias: np.ndarray, steps: tuple[int, int, int, int], rule: Rescale, out: np.ndarray
) -> None:
    """Depthwise convolution of ``padded`` int8 (N, H, W, C) with ``weight`` int32 (kh, kw, C); ``out`` int8."""
    stride_h, stride_w, dilation_h, dilation_w = steps
    images, height, width, channels = out.shape
    accumulator = np.empty(channels, np.int32)
    for n in range(images):
        for y in range(height):
            for x in range(width):
                accumulator[:] = bias
                for i in range(weight.shape[0]):
                    for j in range(weight.shape[1]):
                        seen = padded[n, y * stride_h + i * dilation_h, x * stride_w + j * dilation_w]
                        for c in range(channels):
                            accumulator[c] += np.int32(seen[c]) * weight[i, j, c]
                for c in range(channels):
                    out[n, y, x, c] = _rescale(accumulator[c], rule, c)


@njit(cache=True)
def add(a: np.ndarray, b: np.ndarray, table_a: np.ndarray, table_b: np.ndarray, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescale(table_a[a] + table_b[b])`` over flat int8 arrays; tables are indexed by ``code + 128``."""
    for k in range(out.size):
        out[k] = _rescale(np.int32(table_a[np.int64(a[k]) + 128] + table_b[np.int64(b[k]) + 128]), rule, 0)


@njit(cache=True)
def multiply(a: np.ndarray, b: np.ndarray, zero_a: int, zero_b: int, rule: Rescale, out: np.ndarray) -> None:
    """``out = rescale((a - zero_a) * (b - zero_b))`` over flat int8 arrays."""
    for k in range(out.size):
        out[k] = _rescale(np.int32((np.int64(a[k]) - zero_a) * (np.int64(b[k]) - zero_b)), rule, 0)
