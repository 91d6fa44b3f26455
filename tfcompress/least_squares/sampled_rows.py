"""The rows of a least squares problem, from what a layer gets and what it shall deliver.

One sample in five is *held* out, to judge by; the others are *shown*. Every pass over the rows delivers the same ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tfcompress.least_squares.linear_rows import ROWS, at_positions

SHOWN, HELD, ALL = (0, 1, 2, 3), (4,), (0, 1, 2, 3, 4)
"""Which samples of each five."""

CHUNK, KEPT = 2**22, 2**26
"""Numbers in one chunk of rows, and in all of them together up to which they are kept for the next pass."""


PLENTY, LEAST = 50, 2**14
"""Rows for each weight of an output, and in all, beyond which more positions of the same images add little but time."""


class Chunk(NamedTuple):
    """Some rows: inputs (rows, blocks, n), float64; outputs and, in front of the activation, targets."""

    a: np.ndarray
    y: np.ndarray
    t: np.ndarray


@dataclass(frozen=True)
class Signals:
    """What a layer gets and what it shall deliver, batch by batch.

    Attributes:
        z: In front of the layer, (samples, ..., channels).
        y: Behind its activation.
        t: In front of the activation, where the base computes the same one; else None.
    """

    z: Sequence[np.ndarray]
    y: Sequence[np.ndarray]
    t: Sequence[np.ndarray] | None = None


class SampledRows:
    """The rows for ``layer``, at most ``positions`` of each sample, drawn by ``seed``."""

    def __init__(self, layer: Any, signals: Signals, positions: int, seed: int) -> None:
        self.layer, self.signals = layer, signals
        self.samples = sum(map(len, signals.z))
        self._row = int(signals.z[0].shape[-1] * np.prod(getattr(layer, "kernel_size", 1)))
        places = int(np.prod(signals.y[0].shape[1:-1]))
        count = min(places, positions, -(-max(PLENTY * self._row, LEAST) // self.samples))
        rng = np.random.default_rng(seed)
        self._positions = [np.sort(rng.choice(places, count, replace=False)) for _ in range(len(signals.z))]
        self._total = self.samples * len(self._positions[0]) * self._row
        self._kept: dict[int, list[Chunk]] = {}

    def chunks(self, which: Sequence[int] = ALL) -> Iterator[Chunk]:
        """The rows of some samples."""
        for k in (0, 4):  # the samples shown and those held are kept apart
            if k in which:
                for chunk in self._kept.get(k) or self._made(k, SHOWN if k == 0 else HELD):
                    yield Chunk(*(array.astype(np.float64) for array in chunk))

    def _made(self, k: int, which: Sequence[int]) -> Iterator[Chunk]:
        kept = []
        for chunk in self._cut(which):
            if self._total <= KEPT:
                kept.append(chunk)
            yield chunk
        self._kept[k] = kept

    def _cut(self, which: Sequence[int]) -> Iterator[Chunk]:
        take, number = ROWS[type(self.layer)].take, 0
        for k, positions in enumerate(self._positions):
            z, y = self.signals.z[k], self.signals.y[k]
            t = y if self.signals.t is None else self.signals.t[k]
            mine = [i for i in range(len(z)) if (number + i) % 5 in which]
            number += len(z)
            step = max(CHUNK // (self._row * len(positions)), 1)
            for some in (mine[i : i + step] for i in range(0, len(mine), step)):
                a = take(self.layer, z[some], positions)
                shape = (len(a), a.shape[1], -1)
                yield Chunk(a, *(at_positions(v[some], positions).reshape(shape) for v in (y, t)))
