r"""Which part of the values of a feature map its grid covers: three methods.

    MinMax             all of it
    Percentile         all but a share ``1 - p`` at either end
    MeanSquaredError   [l, h] that minimises  sum of n_i (clip(x_i) - x_i)^2  +  n s^2 / 12

In the last, ``x_i`` are the bins of a histogram with ``n_i`` values, the first term is what clipping costs, and the
second what rounding to the step ``s`` does to the ``n`` values that are neither clipped nor zero.

Reference: Sakr et al., "Optimal Clipping and Magnitude-aware Differentiation for Improved Quantization-aware Training",
ICML 2022, https://arxiv.org/abs/2206.06501 (their equation 4 is this sum for symmetric ranges). Differs from the source
in searching both ends over the bins instead of by fixed-point iterations, and in zeros, which cost nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from tflite_export.histogram import Histogram
from tflite_export.ir import Quantization
from tflite_export.passes.place_grids import limits

MakeGrid = Callable[[float, float], Quantization]
"""From the lowest and the highest value to a grid."""

COARSE, FINE = 0.84 ** np.arange(24), np.linspace(0.86, 1.16, 16)
"""Shares of the range that are tried at either end: all pairs of the first, then around the best pair."""


class Calibration(Protocol):
    """A method: picks the grid of a feature map from what was seen of it.

    Attributes:
        counts: Whether the histogram is needed, and not the range alone.
    """

    counts: ClassVar[bool]

    def choose(self, seen: Histogram, grid: MakeGrid) -> Quantization:
        """The grid for what was ``seen``."""


@dataclass(frozen=True)
class MinMax:
    """The whole range: nothing saturates on the representative data."""

    counts: ClassVar[bool] = False

    def choose(self, seen: Histogram, grid: MakeGrid) -> Quantization:
        """The grid from the lowest to the highest value."""
        return grid(seen.low, seen.high)


@dataclass(frozen=True)
class Percentile:
    """The range without the outermost values.

    Args:
        percent: How many percent of all values lie below the upper end, and above the lower.

    Raises:
        ValueError: ``percent`` is not over 50 and at most 100.
    """

    percent: float = 99.99
    counts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise ValueError(f"`percent` must be over 50 and at most 100. Received: percent={self.percent}")

    def choose(self, seen: Histogram, grid: MakeGrid) -> Quantization:
        """The grid over the percentiles."""
        share = self.percent / 100
        return grid(*seen.quantiles([1 - share, share]))


@dataclass(frozen=True)
class MeanSquaredError:
    """The range with the least mean squared error of clipping and rounding together."""

    counts: ClassVar[bool] = True

    def choose(self, seen: Histogram, grid: MakeGrid) -> Quantization:
        """The best of all pairs of ends, then the best around each end."""
        there = seen.counts > 0
        x, n = seen.centres()[there], seen.counts[there]

        def best(lows: ArrayLike, highs: ArrayLike) -> tuple[float, float]:
            return min(product(np.ravel(lows), np.ravel(highs)), key=lambda ends: squared_error(x, n, grid(*ends)))

        low, high = min(0.0, seen.low), max(0.0, seen.high)
        low, high = best(COARSE * low if low else 0.0, COARSE * high if high else 0.0)
        for _ in range(2):
            low, _ = best(np.maximum(FINE * low, min(0.0, seen.low)), high)
            _, high = best(low, np.minimum(FINE * high, max(0.0, seen.high)))
        return grid(low, high)


def squared_error(x: np.ndarray, n: np.ndarray, grid: Quantization) -> float:
    """Sum of the squared errors that ``grid`` makes on values ``x``, each of which occurs ``n`` times."""
    clipped = np.clip(x, *limits(grid))
    return float(n @ (clipped - x) ** 2 + n[clipped == x].sum() * float(grid.scale[0]) ** 2 / 12)


METHODS: dict[str, Calibration] = {"min_max": MinMax(), "percentile": Percentile(), "mse": MeanSquaredError()}
"""By the name that ``convert`` takes."""


def method(chosen: "str | Calibration") -> Calibration:
    """The method of that name, or the object itself.

    Raises:
        ValueError: There is no such name.
    """
    if not isinstance(chosen, str):
        return chosen
    if chosen not in METHODS:
        raise ValueError(
            f"`calibration` must be one of {', '.join(map(repr, METHODS))}, or an object like "
            f"tflite_export.calibration.Percentile(99.9). Received: {chosen!r}"
        )
    return METHODS[chosen]
