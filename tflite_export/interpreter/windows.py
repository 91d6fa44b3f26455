"""Sliding windows over an NHWC feature map: geometry, padding, patches.

Along each axis, with ``extent`` the pixels from a window's first to its last:

    extent = (size - 1) * dilation + 1
    SAME:   out = ceil(in / stride),                 pad = max(0, (out - 1) * stride + extent - in), first half before
    VALID:  out = ceil((in - extent + 1) / stride),  pad = 0
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tflite_export.interpreter.arithmetic import ACTIVATIONS
from tflite_export.interpreter.operands import activation, limits, output, refuse
from tflite_export.ir import Op, Tensor

BLOCK = 2**17
"""Elements in a block of patches: small enough for the second-level cache with what is computed from them."""

Four = tuple[int, int, int, int]


@dataclass(frozen=True)
class Windows:
    """Windows of an op; pairs are (vertical, horizontal), ``before`` and ``after`` count padding rows and columns."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    def pad(self, x: np.ndarray, value: float) -> np.ndarray:
        """``x`` (N, H, W, C) with a border of ``value``."""
        if self.before == self.after == (0, 0):
            return x
        (top, left), (bottom, right) = self.before, self.after
        n, height, width, channels = x.shape
        padded = np.full((n, top + height + bottom, left + width + right, channels), value, x.dtype)
        padded[:, top : top + height, left : left + width] = x
        return padded

    def taps(self, padded: np.ndarray, rows: int | None = None) -> Iterator[np.ndarray]:
        """For each position inside the window, row by row, what every window sees there: (N, *out, C) views.

        Args:
            padded: The feature map with its border.
            rows: How many rows of windows, from the top; all of them by default.
        """
        height, width = ((out - 1) * stride + 1 for out, stride in zip((rows or self.out[0], self.out[1]), self.stride))
        for top in range(0, self.size[0] * self.dilation[0], self.dilation[0]):
            for left in range(0, self.size[1] * self.dilation[1], self.dilation[1]):
                yield padded[:, top : top + height : self.stride[0], left : left + width : self.stride[1]]

    def blocks(self, padded: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """The windows side by side, a cacheful at a time: images, rows of the output, patches.

        Patches are float32 (windows, positions, C). A block holds whole images or part of one, so that its rows of
        the output lie side by side.
        """
        positions, channels = self.size[0] * self.size[1], padded.shape[-1]
        row = self.out[1] * positions * channels
        images, rows = max(1, BLOCK // (row * self.out[0])), min(self.out[0], max(1, BLOCK // row))
        for first in range(0, len(padded), images):
            part = padded[first : first + images]
            for top in range(0, self.out[0], rows):
                count = min(rows, self.out[0] - top)
                patches = np.empty((len(part), count, self.out[1], positions, channels), np.float32)
                for position, tap in enumerate(self.taps(part[:, top * self.stride[0] :], count)):
                    patches[..., position, :] = tap
                yield slice(first, first + images), slice(top, top + count), patches.reshape(-1, positions, channels)

    @property
    def pointwise(self) -> bool:
        """Whether each window is one pixel, and each pixel a window."""
        return self.size == self.stride == (1, 1)

    def pieces(self, channels: int, first: int, depth: int) -> tuple[Four, Four]:
        """Where windows find ``depth`` of the ``channels`` from ``first`` on: ``window`` and ``steps`` of `linear`."""
        (height, width), (down, across), (deep, apart) = self.size, self.stride, self.dilation
        window = (height, width, apart * channels, depth)
        if depth == channels and apart == 1:  # a row of the window is in one piece
            window = (height, 1, 0, width * channels)
        return window, (down, across * channels, deep, first)


def windows(op: Op, x: Tensor, size: tuple[int, int]) -> Windows:
    """The windows of ``size`` that ``op`` slides over ``x`` by its options."""
    if len(x.shape) != 4:
        refuse(op, x, "expected shape (batch, height, width, channels)")
    stride = (op.options.get("stride_h", 0), op.options.get("stride_w", 0))
    dilation = (op.options.get("dilation_h_factor", 1), op.options.get("dilation_w_factor", 1))
    if min(*stride, *dilation, *size) < 1:
        refuse(op, x, f"strides, dilations and sizes must be positive. Received: {stride}, {dilation}, {size}")
    same = op.options.get("padding", "SAME") == "SAME"
    out, before, after = zip(*(_along(*axis, same) for axis in zip(x.shape[1:3], size, stride, dilation)))
    if min(out) < 1:
        refuse(op, x, f"a window of {size} with dilation {dilation} does not fit in without padding. Use SAME")
    area, padded = math.prod(x.shape[1:3]), math.prod(map(sum, zip(x.shape[1:3], before, after)))
    if padded > 16 * (area + 2**16):
        refuse(op, x, f"a window of {size} with dilation {dilation} would see almost nothing but padding")
    return Windows(size, stride, dilation, out, before, after)


def _along(length: int, size: int, stride: int, dilation: int, same: bool) -> tuple[int, int, int]:
    """Windows, padding before and padding after, along one axis."""
    extent = (size - 1) * dilation + 1
    out = -(-(length if same else length - extent + 1) // stride)
    padding = max(0, (out - 1) * stride + extent - length) if same else 0
    return out, padding // 2, padding - padding // 2


def pool_windows(op: Op, x: Tensor) -> Windows:
    """The windows of a pooling op."""
    return windows(op, x, (op.options.get("filter_height", 0), op.options.get("filter_width", 0)))


def pool_limits(op: Op, tensors: Sequence[Tensor]) -> tuple[float, float]:
    """Between which values, codes if quantised, the fused activation of a pooling op clips."""
    y, name = output(op, tensors), activation(op, tensors)
    if y.dtype in ("int8", "int16"):
        return limits(op, tensors)[1:]
    low, high = ACTIVATIONS[name]
    return -np.inf if low is None else low, np.inf if high is None else high
