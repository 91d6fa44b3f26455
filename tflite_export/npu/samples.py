"""Estimates with data: rows of each sample, from what its run showed, and what is said of all of them.

The cycles of a row are means, rounded in such a way that the parts still sum to the total:

    part_i = round(mean(part_1 + ... + part_i)) - round(mean(part_1 + ... + part_(i-1)))
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tflite_export.interpreter.channel_masks import deciding
from tflite_export.npu.activity import Sample, observe
from tflite_export.npu.memory import Placement
from tflite_export.npu.result import CYCLES, spread
from tflite_export.npu.seen import Seen
from tflite_export.npu.sheet import ON_ARRAY, Row, Sheet

WHOLE = (
    "macs_executed",
    "weight_moved_bytes",
    "sram_read_bytes",
    "sram_write_bytes",
    "dram_read_bytes",
    "dram_write_bytes",
)
REAL = ("utilisation", "energy_mac_pj", "energy_sram_pj", "energy_dram_pj", "energy_static_pj")


@dataclass(eq=False)
class Book:
    """Rows of all samples so far.

    Attributes:
        sheet: The model on the machine.
        fixed: Rows that hold whatever the data.
        placement: Where feature maps live.
        rows: One list of rows a sample.
    """

    sheet: Sheet
    fixed: Sequence[Row]
    placement: Placement
    rows: list[list[Row]] = field(default_factory=list)

    def enter(self, sample: Sample) -> None:
        """Adds the rows of a sample."""
        self.rows.append([self._row(step, sample) for step in range(len(self.fixed))])

    def _row(self, step: int, sample: Sample) -> Row:
        sheet = self.sheet
        looks = sheet.machine.activation_zeros != "charged" and sheet.graph.ops[step].kind in ON_ARRAY
        if step in sample.parts:
            cost = sheet.cost_of_part(step, sample.parts[step], sample.values if looks else {})
        elif looks:
            cost = sheet.cost(step, Seen(sheet.widths, sample.values))
        else:
            return self.fixed[step]
        return sheet.row(step, cost, self.placement)


def measured(
    sheet: Sheet, rows: Sequence[Row], placement: Placement, data: np.ndarray | Sequence[np.ndarray]
) -> tuple[list[Row], int, np.ndarray | None]:
    """Runs the data.

    Returns:
        Rows with zeros counted, and means where samples differ; the number of samples; cycles of each sample, None if
        all cost the same.
    """
    book, machine = Book(sheet, rows, placement), sheet.machine
    skips = machine.channel_gates == "skipped" and bool(deciding(sheet.graph))
    differs = machine.activation_zeros != "charged" or skips
    each = book.enter if differs else lambda sample: None
    activity = observe(sheet.graph, data, each, skips)
    counted = [{"activation_count": n, "activation_zeros": z} for n, z in zip(activity.count, activity.zeros)]
    if not differs:
        return [row | more for row, more in zip(rows, counted)], activity.samples, None
    means = [_mean(fixed, of) | more for fixed, of, more in zip(rows, zip(*book.rows), counted)]
    return means, activity.samples, np.array([sum(row["cycles_total"] for row in of) for of in book.rows])


def _mean(fixed: Row, rows: Sequence[Row]) -> Row:
    """One row for all samples."""
    cycles = np.array([[row[part] for part in CYCLES] for row in rows])
    ends = np.rint(cycles.mean(0).cumsum()).astype(np.int64)
    parts = dict(zip(CYCLES, np.diff(ends, prepend=0).tolist()))
    whole = {key: round(float(np.mean([row[key] for row in rows]))) for key in WHOLE}
    real = {key: float(np.mean([row[key] for row in rows])) for key in REAL}
    return {**fixed, **parts, **whole, **real, "cycles_total": int(ends[-1]), **spread(cycles.sum(1))}
