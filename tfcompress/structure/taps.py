"""At how many places of its output a convolution's taps see the input, and not the zeros around it.

With zero padding, 3 taps, 4 places:   0 [x x x x] 0      the first and the last tap see 3 of 4, the middle one all
"""

import functools
from typing import Any

import numpy as np

from tfcompress.structure.mixing import TRANSPOSED
from tfcompress.structure.trace import Value


def seen(layer: Any, x: Value, y: Value) -> np.ndarray:
    """The share of output positions at which each tap of ``layer`` sees its input; shape (taps,).

    Sizes that are not known count as large. A transposed convolution reaches each output by some of its taps only.
    """
    if not hasattr(layer, "kernel_size"):
        return np.ones(1)
    axes = zip(x.shape[1:-1], y.shape[1:-1], layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    along = share_written if isinstance(layer, TRANSPOSED) else share_read
    return functools.reduce(np.multiply.outer, [along(layer.padding, *axis) for axis in axes]).reshape(-1)


def share_read(padding: str, size: int | None, out: int | None, taps: int, stride: int, dilation: int) -> np.ndarray:
    """Tap t of output o is at ``o * stride + t * dilation - before``."""
    if size is None or out is None or padding == "valid":
        return np.ones(taps)
    reach = (taps - 1) * dilation
    before = reach if padding == "causal" else max((out - 1) * stride + reach + 1 - size, 0) // 2
    places = np.arange(out)[:, None] * stride + np.arange(taps) * dilation - before
    return ((places >= 0) & (places < size)).mean(axis=0)


def share_written(padding: str, size: int | None, out: int | None, taps: int, stride: int, dilation: int) -> np.ndarray:
    """Input i reaches output ``i * stride + t * dilation - before`` by tap t."""
    if size is None or out is None:
        return np.full(taps, 1 / stride)
    before = max((size - 1) * stride + (taps - 1) * dilation + 1 - out, 0) // 2 if padding == "same" else 0
    places = np.arange(size)[:, None] * stride + np.arange(taps) * dilation - before
    return ((places >= 0) & (places < out)).sum(axis=0) / out
