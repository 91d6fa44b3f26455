r"""Parallel cells: ``R`` positions by ``C`` filters, each cell with ``L`` multipliers of its own on L taps at a time.

    without zeros skipped   T = ceil(M / R) * ceil(N / C) * ceil(ceil(K / L) s)
    with zeros skipped      T = sum over folds of the time in which the last of the R x C cells is done (``queues``)
                            w[l, g] = ceil(products of cell l in group g / L) s

N counts the filters of all groups: every column may read channels of its own, so depthwise layers fill the columns.
A group are ``group_taps`` taps in the order of memory (kernel row, kernel column, channel), a fold the R positions and
C filters that are computed together; the next fold starts when the slowest cell is done. Only products that the
weights leave, or, if it skips zero inputs and data is given, weights and inputs, count. Without data no input is zero.

With ``reorder``, filters are sorted by their products before they are folded, so that neighbours have equally much to
do: a compiler can do that for free. Sorting is a heuristic; a zero more may then cost cycles in rare cases.

In the breakdown, the imbalance is what cells wait for the slowest of their fold; edge are idle cells and lanes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np

from tflite_export.npu.arrays.queues import finish
from tflite_export.npu.loops import Loops, ceil_div
from tflite_export.npu.multipliers import Multiplier, sigma
from tflite_export.npu.schema import Count, Natural
from tflite_export.npu.values import Values
from tflite_export.npu.work import Work


@dataclass(frozen=True)
class Parallel:
    """Table ``[array]`` with ``kind = "parallel"``.

    Attributes:
        rows: Positions at once.
        columns: Filters at once.
        lanes: Products that a cell computes at once.
        multiplier_bits: Operand width that a cell is built for.
        multiplier: How it multiplies, see ``multipliers``.
        group_taps: Taps whose operands are sent together; a multiple of ``lanes``.
        queue_depth: Groups that wait in front of a cell; 1: all cells wait for each other, 0: without end.
        reorder: Whether filters are sorted by their non-zeros before they are folded.
        gates: Where the four gates of an LSTM are computed: ``"interleaved"``, one after the other, each on all
            columns; ``"separate"``: each on a quarter of the columns.
    """

    KIND: ClassVar[str] = "parallel"

    rows: Count
    columns: Count
    lanes: Count
    multiplier_bits: Count
    multiplier: Multiplier = "fixed"
    group_taps: Count = 16
    queue_depth: Natural = 1
    reorder: bool = False
    gates: Literal["interleaved", "separate"] = "interleaved"

    def __post_init__(self) -> None:
        if self.group_taps % self.lanes:
            raise ValueError(
                f"`group_taps` must be a multiple of `lanes`. Received: {self.group_taps} and {self.lanes}"
            )

    @property
    def macs_per_cycle(self) -> int:
        """Peak rate."""
        return self.rows * self.columns * self.lanes

    def convolution(self, loops: Loops, weight_bytes: int, values: Values | None = None) -> Work:
        """Work of any convolution or matrix product whose weights occupy ``weight_bytes`` as they travel."""
        m_folds, n_folds = ceil_div(loops.m, self.rows), ceil_div(loops.filters, self.columns)
        per_step = sigma(self.multiplier, self.multiplier_bits, loops)
        amounts = None if values is None else values.amounts(self.multiplier)
        inputs = None if values is None else values.known_inputs()
        loads = None
        if values is None or amounts is None or (inputs is None and np.all(amounts == 1)):
            steps = loops.macs
            cycles = even = m_folds * n_folds * math.ceil(ceil_div(loops.k, self.lanes) * per_step)
        else:
            steps = values.steps(loops, self.multiplier)
            cycles, even, loads = self._uneven(loops, amounts, inputs, per_step)
        useful = int(steps * per_step // self.macs_per_cycle)
        return Work(
            useful=useful,
            edge=even - useful,
            imbalance=cycles - even,
            sram_read_bytes=n_folds * loops.unfolded_bytes + m_folds * weight_bytes,
            sram_write_bytes=loops.out_bytes,
            input_parts=m_folds,
            weight_parts=n_folds,
            output_parts=m_folds * n_folds,
            weight_reads=m_folds,
            loads=loads,
        )

    depthwise = convolution

    def _uneven(
        self, loops: Loops, amounts: np.ndarray, inputs: np.ndarray | None, per_step: Fraction
    ) -> tuple[int, int, np.ndarray]:
        """Cycles, those if the cells of each fold shared their work evenly, and the cycles of each cell by fold."""
        order = np.argsort(-amounts.sum(1), kind="stable") if self.reorder else np.arange(loops.filters)
        done, load = finish(self._groups(loops, amounts, inputs, order, per_step.numerator), self.queue_depth)
        rows = 1 if inputs is None else self.rows
        active = np.outer(_occupied(loops.m if rows > 1 else 1, rows), _occupied(loops.filters, self.columns))
        repeats = ceil_div(loops.m, self.rows) if inputs is None else 1
        even = -(-load.sum(-1) // (active * per_step.denominator))
        cycles = repeats * int(np.sum(-(-done // per_step.denominator)))
        return cycles, repeats * int(even.sum()), load.reshape(-1, load.shape[-1]) / per_step.denominator

    def _groups(
        self, loops: Loops, amounts: np.ndarray, inputs: np.ndarray | None, order: np.ndarray, factor: int
    ) -> Iterator[np.ndarray]:
        """Work of each group of taps: int64 (position folds, filter folds, cells), in parts of a cycle."""
        for start in range(0, loops.k, self.group_taps):
            taps = slice(start, start + self.group_taps)
            steps = _steps(loops, amounts[:, taps], None if inputs is None else inputs[:, :, taps])[:, order]
            yield self._folded(-(-steps // self.lanes) * factor, rows=1 if inputs is None else self.rows)

    def _folded(self, steps: np.ndarray, rows: int) -> np.ndarray:
        """(positions, filters) as (position folds, filter folds, cells); cells left over have nothing to do."""
        m, n = steps.shape
        padded = np.pad(steps, [(0, -m % rows), (0, -n % self.columns)])
        folds = padded.reshape(-1, rows, padded.shape[1] // self.columns, self.columns)
        return folds.transpose(0, 2, 1, 3).reshape(len(folds), -1, rows * self.columns)


def _steps(loops: Loops, amounts: np.ndarray, inputs: np.ndarray | None) -> np.ndarray:
    """Steps of each position and filter, int64; one position stands for all if the inputs do not matter."""
    if inputs is None:
        return amounts.sum(1)[None]
    of_group = amounts.reshape(loops.groups, loops.n, -1).astype(np.float32)
    pairs = inputs.astype(np.float32) @ of_group.transpose(0, 2, 1)
    return pairs.transpose(1, 0, 2).reshape(loops.m, loops.filters).astype(np.int64)


def _occupied(extent: int, size: int) -> np.ndarray:
    """How many of ``size`` cells each fold of ``extent`` uses."""
    return np.minimum(extent - np.arange(0, extent, size), size)
