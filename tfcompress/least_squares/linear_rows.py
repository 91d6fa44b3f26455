"""Layers that compute sums of products, read as rows of a least squares problem.

    Dense, pointwise           a = z at each position                                   1 block
    Conv, separable            a = the window of z, taps * channels long                1 block, or one for each group
    Depthwise                  a = the window of one channel                            a block for each channel

and back: the solution as the layer's kernels. Windows are taken as TensorFlow and TFLite take them, padding included.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers

from tfcompress.convolution.winograd import WinogradConv2D
from tfcompress.least_squares.separable_squares import Separated

Kernels = dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """One kind of layer.

    Attributes:
        take: (layer, z, positions) -> a, float64, (samples * positions, blocks, n).
        kernels: (layer, W) -> slot -> array.
        constrained: (layer, channels of z) -> what finds W, where W is not free.
    """

    take: Callable[[Any, np.ndarray, np.ndarray], np.ndarray]
    kernels: Callable[[Any, np.ndarray], Kernels]
    constrained: Callable[[Any, int], Separated] | None = None


def at_positions(y: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """What ``y`` (samples, ..., channels) holds at some positions, (samples * positions, channels)."""
    return y.reshape(len(y), -1, y.shape[-1])[:, positions].reshape(-1, y.shape[-1])


def _dense(layer: Any, z: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return at_positions(z, positions)[:, None].astype(np.float64)


def _windows(layer: Any, z: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(samples * positions, taps, channels)."""
    rank = z.ndim - 2
    sizes, strides, dilations = (_pair(getattr(layer, n), rank) for n in ("kernel_size", "strides", "dilation_rate"))
    reaches = [(k - 1) * d + 1 for k, d in zip(sizes, dilations)]
    edges = [_edges(layer.padding, n, r, s) for n, r, s in zip(z.shape[1:-1], reaches, strides)]
    padded = np.pad(z, [(0, 0), *edges, (0, 0)])
    view = np.lib.stride_tricks.sliding_window_view(padded, reaches, axis=tuple(range(1, rank + 1)))
    whole: list[Any] = [slice(None)]
    steps, taps = ([slice(None, None, n) for n in each] for each in (strides, dilations))
    view = view[(*whole, *steps, *whole, *taps)]
    chosen = view[(*whole, *np.unravel_index(positions, view.shape[1 : rank + 1]))]
    return chosen.reshape(-1, z.shape[-1], math.prod(sizes)).swapaxes(1, 2).astype(np.float64)


def _pair(size: Any, rank: int) -> tuple[int, ...]:
    return (size,) * rank if isinstance(size, int) else tuple(size)


def _edges(padding: str, size: int, reach: int, stride: int) -> tuple[int, int]:
    """Zeros in front and behind."""
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return reach - 1, 0
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _convolution(layer: Any, z: np.ndarray, positions: np.ndarray) -> np.ndarray:
    windows = _windows(layer, z, positions)
    rows, taps, channels = windows.shape
    groups = getattr(layer, "groups", 1)
    parts = windows.reshape(rows, taps, groups, channels // groups).swapaxes(1, 2)
    return parts.reshape(rows, groups, -1)


def _convolution_kernel(layer: Any, weights: np.ndarray) -> Kernels:
    groups, size, outputs = weights.shape
    taps = math.prod(layer.kernel_size)
    kernel = weights.reshape(groups, taps, size // taps, outputs).transpose(1, 2, 0, 3)
    return {"kernel": kernel.reshape(*layer.kernel_size, size // taps, groups * outputs)}


def _depthwise(layer: Any, z: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return _windows(layer, z, positions).swapaxes(1, 2)


def _depthwise_kernel(layer: Any, weights: np.ndarray) -> Kernels:
    channels, _, multiplier = weights.shape
    return {"kernel": weights.swapaxes(0, 1).reshape(*layer.kernel_size, channels, multiplier)}


def _separated(layer: Any, channels: int) -> Separated:
    return Separated(math.prod(layer.kernel_size), channels, layer.depth_multiplier)


def _separable_kernels(layer: Any, weights: np.ndarray) -> Kernels:
    """The two factors of what ``Separated`` found."""
    size, outputs = weights.shape[1:]
    channels = size // math.prod(layer.kernel_size)
    found = _separated(layer, channels)
    wide, deep = found.factors(weights[0])
    ones = (1,) * len(layer.kernel_size)
    wide = wide.reshape(*layer.kernel_size, channels, -1)
    return {"depthwise_kernel": wide, "pointwise_kernel": deep.reshape(*ones, -1, outputs)}


DENSE = Rows(_dense, lambda layer, weights: {"kernel": weights[0]})
CONVOLUTION = Rows(_convolution, _convolution_kernel)
DEPTHWISE = Rows(_depthwise, _depthwise_kernel)
SEPARABLE = Rows(_convolution, _separable_kernels, _separated)

ROWS: dict[type, Rows] = {
    layers.Dense: DENSE,
    layers.Conv1D: CONVOLUTION,
    layers.Conv2D: CONVOLUTION,
    WinogradConv2D: CONVOLUTION,
    layers.DepthwiseConv1D: DEPTHWISE,
    layers.DepthwiseConv2D: DEPTHWISE,
    layers.SeparableConv1D: SEPARABLE,
    layers.SeparableConv2D: SEPARABLE,
}
"""Layer -> how it is read, by exact type."""
