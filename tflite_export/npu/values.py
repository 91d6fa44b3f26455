"""The values behind a loop nest: which products of a layer need to be computed, and what they cost a cell.

A product whose weight or input is zero is *charged* like any other, *gated* (the cell rests, the cycle is spent), or
*skipped* (the next product takes its place). A zero input is a code at the zero point, or padding.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tflite_export.npu.loops import Loops
from tflite_export.npu.multipliers import SHIFTS, Multiplier, signed_digits

Zeros = Literal["charged", "gated", "skipped"]

SKIPPED: tuple[Zeros, ...] = ("skipped",)
"""What takes no time."""

RESTING: tuple[Zeros, ...] = ("gated", "skipped")
"""What takes no energy."""


@dataclass(frozen=True, eq=False)
class Values:
    """Operands of a layer.

    Attributes:
        codes: The weights, zero being 0: integers of shape (filters of all groups, taps).
        inputs: Where the inputs are not zero: bool, (groups, positions, taps); None if nothing is known.
        weight_zeros: What happens to products with a zero weight.
        input_zeros: The same for the inputs; without effect if ``inputs`` is None.
    """

    codes: np.ndarray
    inputs: np.ndarray | None = None
    weight_zeros: Zeros = "charged"
    input_zeros: Zeros = "charged"

    @property
    def most_digits(self) -> int:
        """Signed digits of the weight that has most."""
        return int(signed_digits(self.codes).max(initial=1))

    def amounts(self, kind: Multiplier, zeros: tuple[Zeros, ...] = SKIPPED) -> np.ndarray:
        """Steps of a cell on each weight, int64 of the shape of ``codes``; those among ``zeros`` take none."""
        steps = signed_digits(self.codes) if kind in SHIFTS else (self.codes != 0)
        least = 0 if self.weight_zeros in zeros else 1
        return np.maximum(steps.astype(np.int64), least)

    def known_inputs(self, zeros: tuple[Zeros, ...] = SKIPPED) -> np.ndarray | None:
        """``inputs``, if what happens to their zeros is among ``zeros``."""
        return self.inputs if self.input_zeros in zeros else None

    def steps(self, loops: Loops, kind: Multiplier, zeros: tuple[Zeros, ...] = SKIPPED) -> int:
        """Steps of all cells together, not counting products whose zeros are among ``zeros``."""
        if self.weight_zeros not in zeros and self.known_inputs(zeros) is None and kind not in SHIFTS:
            return loops.macs
        of_tap = self.amounts(kind, zeros).reshape(loops.groups, loops.n, -1).sum(1)
        inputs = self.known_inputs(zeros)
        return int(loops.m * of_tap.sum() if inputs is None else np.sum(inputs.sum(1) * of_tap))

    def part(self, filters: slice, groups: slice, positions: slice) -> "Values":
        """What a core sees that computes a part of the output."""
        inputs = None if self.inputs is None else self.inputs[groups, positions]
        return Values(self.codes[filters], inputs, self.weight_zeros, self.input_zeros)


def unfold(active: np.ndarray, loops: Loops) -> np.ndarray:
    """The inputs that each position of a convolution reads.

    Args:
        active: bool (batch, height, width, channels).
        loops: Its loop nest.

    Returns:
        bool (groups, positions, taps), taps in the order (kernel row, kernel column, channel); False in the padding.
    """
    extents = (loops.out_h, loops.stride_h, loops.kernel_h, loops.dilation_h), (
        loops.out_w, loops.stride_w, loops.kernel_w, loops.dilation_w,
    )  # fmt: skip
    spans = [(kernel - 1) * dilation + 1 for _, _, kernel, dilation in extents]
    lacking = [
        max((out - 1) * stride + span - size, 0)
        for (out, stride, _, _), span, size in zip(extents, spans, active.shape[1:3])
    ]
    padded = np.pad(active, [(0, 0), *((n // 2, n - n // 2) for n in lacking), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, (1, 2))
    (out_h, stride_h, _, step_h), (out_w, stride_w, _, step_w) = extents
    kept = windows[:, ::stride_h, ::stride_w, :, ::step_h, ::step_w][:, :out_h, :out_w]
    split = kept.reshape(*kept.shape[:3], loops.groups, loops.in_channels, *kept.shape[4:])
    return split.transpose(3, 0, 1, 2, 5, 6, 4).reshape(loops.groups, loops.m, loops.k)
