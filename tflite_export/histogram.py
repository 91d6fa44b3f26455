"""How often which values occurred, in memory that does not grow with the data.

The bins are as wide as a power of two and begin at multiples of it. Where a value lies outside, bins are joined in
pairs, which is exact: the result is the same in whatever order and portions the values come. Zeros are counted apart,
since a grid has a level for them and a ReLU makes many.
"""

from collections.abc import Iterable

import numpy as np

BINS = 2048
"""Bins on each side of zero."""


class Histogram:
    """Counts of values.

    Attributes:
        low: Lowest value so far, infinity if there was none.
        high: Highest.
        zeros: How many were 0.
        width: Of a bin, a power of two; 0 until there is a value that is not zero.
        counts: int64 (2 * BINS,); bin ``k`` holds values from ``(k - BINS) * width``.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.zeros, self.width = 0, 0.0
        self.counts = np.zeros(2 * BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Counts ``values`` (any shape, finite)."""
        low, high = self.stretch(values)
        there = values[values != 0].astype(np.float64)
        self.zeros += values.size - there.size
        if there.size:
            self._widen(max(high, -low))
            places = np.floor(there / self.width).astype(np.int64) + BINS
            self.counts += np.bincount(places, minlength=2 * BINS)

    def stretch(self, values: np.ndarray) -> tuple[float, float]:
        """Takes note of the range only; returns that of ``values``."""
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(low, self.low), max(high, self.high)
        return low, high

    def _widen(self, largest: float) -> None:
        """Makes the bins reach beyond ``largest``."""
        needed = 2.0 ** (np.floor(np.log2(largest / BINS)) + 1)
        self.width = self.width or needed
        while self.width < needed:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts[:] = 0
            self.counts[BINS // 2 : BINS // 2 + BINS] = pairs
            self.width *= 2

    def centres(self) -> np.ndarray:
        """The middles of the bins, inside the range of the values."""
        return np.clip((np.arange(-BINS, BINS) + 0.5) * self.width, self.low, self.high)

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """For each share, the upper edge of the bin up to which that share of all values lies."""
        counts = self.counts.copy()
        counts[BINS - 1] += self.zeros  # zero is the upper edge of this bin
        total = np.cumsum(counts)
        edges = np.clip((np.arange(-BINS, BINS) + 1) * self.width, self.low, self.high)
        return [float(edges[np.searchsorted(total, share * total[-1])]) for share in shares]
