"""Sliding windows over an NHWC feature map: geometry, padding, patches.

    extent = (size - 1) * dilation + 1
    SAME:   out = ceil(in / stride),                 pad = max(0, (out - 1) * stride + extent - in), first half before
    VALID:  out = ceil((in - extent + 1) / stride),  pad = 0
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tflite_export.interpreter.operands import refuse
from tflite_export.ir import Op, Tensor


@dataclass(frozen=True)
class Windows:
    """Windows of an op; pairs are (vertical, horizontal), ``before`` and ``after`` count padding rows and columns."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def pointwise(self) -> bool:
        """Whether the windows are the pixels themselves."""
        return self.size == self.stride == (1, 1)

    def pad(self, x: np.ndarray, value: float) -> np.ndarray:
        """``x`` (N, H, W, C) with a border of ``value``."""
        if self.before == self.after == (0, 0):
            return x
        (top, left), (bottom, right) = self.before, self.after
        n, height, width, channels = x.shape
        padded = np.full((n, top + height + bottom, left + width + right, channels), value, x.dtype)
        padded[:, top : top + height, left : left + width] = x
        return padded

    def taps(self, padded: np.ndarray) -> Iterator[np.ndarray]:
        """For each position inside the window, row by row, what every window sees there: (N, *out, C) views."""
        reach = [(out - 1) * stride + 1 for out, stride in zip(self.out, self.stride)]
        for i in range(self.size[0]):
            for j in range(self.size[1]):
                top, left = i * self.dilation[0], j * self.dilation[1]
                yield padded[:, top : top + reach[0] : self.stride[0], left : left + reach[1] : self.stride[1]]

    def patches(self, padded: np.ndarray) -> np.ndarray:
        """The windows side by side, float32 (N, *out, size[0] * size[1] * C)."""
        n, channels = padded.shape[0], padded.shape[-1]
        patches = np.empty((n, *self.out, self.size[0] * self.size[1], channels), np.float32)
        for k, tap in enumerate(self.taps(padded)):
            patches[..., k, :] = tap
        return patches.reshape(n, *self.out, -1)


def windows(op: Op, x: Tensor, size: tuple[int, int]) -> Windows:
    """The windows of ``size`` that ``op`` slides over ``x`` by its options."""
    if len(x.shape) != 4:
        refuse(op, x, "expected shape (batch, height, width, channels)")
    stride = (op.options.get("stride_h", 1), op.options.get("stride_w", 1))
    dilation = (op.options.get("dilation_h_factor", 1), op.options.get("dilation_w_factor", 1))
    if min(*stride, *dilation, *size) < 1:
        refuse(op, x, f"strides, dilations and sizes must be positive. Received: {stride}, {dilation}, {size}")
    same = op.options.get("padding", "SAME") == "SAME"
    out, before, after = zip(*(_along(*axis, same) for axis in zip(x.shape[1:3], size, stride, dilation)))
    if min(out) < 1:
        refuse(op, x, f"a window of {size} with dilation {dilation} does not fit in without padding. Use SAME")
    return Windows(size, stride, dilation, out, before, after)


def _along(length: int, size: int, stride: int, dilation: int, same: bool) -> tuple[int, int, int]:
    """Windows, padding before and padding after, along one axis."""
    extent = (size - 1) * dilation + 1
    out = -(-(length if same else length - extent + 1) // stride)
    padding = max(0, (out - 1) * stride + extent - length) if same else 0
    return out, padding // 2, padding - padding // 2
