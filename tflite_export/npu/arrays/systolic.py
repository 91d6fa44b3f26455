r"""Systolic arrays: ``R`` rows by ``C`` columns of cells through which operands march, one cell a cycle.

    output stationary:  T = ceil(M / R) * ceil(N / C) * (K s + R + C - 2) - 1
    weight stationary:  T = ceil(K / R) * ceil(N / C) * (M s + 2 R + C - 2) - 1

with M, K, N of ``Loops`` and ``s`` the cycles of one product. A grouped convolution is one run after another,
so a depthwise one keeps a single column busy: poor, and so it is on such arrays.

Reference: A. Samajdar et al., "SCALE-Sim: Systolic CNN Accelerator Simulator", 2018,
https://arxiv.org/abs/1811.02883. The closed forms equal the compute cycles ("Total Cycles", without prefetch) that
SCALE-Sim 3.0 counts on dense layers. Differs from the source in never going below ``K s`` cycles on a 1 x 1 array,
where the trailing ``- 1`` would report more than full use.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal

from tflite_export.npu.loops import Loops, ceil_div
from tflite_export.npu.multipliers import Multiplier, sigma
from tflite_export.npu.schema import Count
from tflite_export.npu.values import Values
from tflite_export.npu.work import Work

PARTIAL_SUM_BYTES = 4


@dataclass(frozen=True)
class Systolic:
    """Table ``[array]`` with ``kind = "systolic"``.

    Attributes:
        dataflow: What stays in its cell: the outputs or the weights.
        rows: Cells that an input row enters.
        columns: Cells side by side, one filter each.
        multiplier_bits: Operand width of a cell's multiplier; wider operands take several cycles.
        multiplier: How a cell multiplies, see ``multipliers``.
    """

    KIND: ClassVar[str] = "systolic"

    dataflow: Literal["output_stationary", "weight_stationary"]
    rows: Count
    columns: Count
    multiplier_bits: Count
    multiplier: Multiplier = "fixed"

    @property
    def macs_per_cycle(self) -> int:
        """Peak rate."""
        return self.rows * self.columns

    def convolution(self, loops: Loops, weight_bytes: int, values: Values | None = None) -> Work:
        """Work of any convolution or matrix product whose weights occupy ``weight_bytes`` as they travel."""
        digits = 1 if values is None else values.most_digits
        per_step = sigma(self.multiplier, self.multiplier_bits, loops, digits)
        return DATAFLOWS[self.dataflow](self, loops, weight_bytes, per_step)

    depthwise = convolution


def output_stationary(array: Systolic, loops: Loops, weight_bytes: int, per_step: Fraction) -> Work:
    """Each cell keeps one output and sums K products; inputs enter the rows, weights the columns."""
    m_folds, n_folds = ceil_div(loops.m, array.rows), ceil_div(loops.n, array.columns)
    folds = m_folds * n_folds * loops.groups
    steps = folds * math.ceil(loops.k * per_step)
    return replace(
        _computing(array, loops, per_step, steps, folds * (array.rows + array.columns - 2)),
        sram_read_bytes=n_folds * loops.unfolded_bytes + m_folds * weight_bytes,
        sram_write_bytes=loops.out_bytes,
        input_parts=m_folds,
        weight_parts=n_folds * loops.groups,
        output_parts=folds,
        weight_reads=m_folds,
    )


def weight_stationary(array: Systolic, loops: Loops, weight_bytes: int, per_step: Fraction) -> Work:
    """Each cell keeps one weight; M inputs stream past, partial sums of the K folds go through SRAM."""
    k_folds, n_folds = ceil_div(loops.k, array.rows), ceil_div(loops.n, array.columns)
    folds = k_folds * n_folds * loops.groups
    steps = folds * math.ceil(loops.m * per_step)
    spilled = (k_folds - 1) * loops.groups * loops.m * loops.n * PARTIAL_SUM_BYTES
    return replace(
        _computing(array, loops, per_step, steps, folds * (2 * array.rows + array.columns - 2)),
        sram_read_bytes=n_folds * loops.unfolded_bytes + weight_bytes + spilled,
        sram_write_bytes=loops.out_bytes + spilled,
        input_parts=loops.m,
        weight_parts=folds,
        output_parts=n_folds * loops.groups * loops.m,
    )


DATAFLOWS = {"output_stationary": output_stationary, "weight_stationary": weight_stationary}


def _computing(array: Systolic, loops: Loops, per_step: Fraction, steps: int, skew: int) -> Work:
    """``steps`` cycles with products, ``skew`` in which operands march in and results out."""
    useful = int(loops.macs * per_step // array.macs_per_cycle)
    return Work(useful=useful, edge=steps - useful, fill_drain=max(skew - loops.groups, 0))
