"""Estimates side by side: several files on one machine, or one file on several, and how many times less each costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tflite_export.npu.result import Estimate
from tflite_export.table import table

QUANTITIES: dict[str, tuple[str, str]] = {
    "cycles_total": ("cycles", ",.0f"),
    "time_us": ("time, us", ",.1f"),
    "macs": ("MACs", ",.0f"),
    "weight_stored_bytes": ("weights stored, B", ",.0f"),
    "weight_moved_bytes": ("weights moved, B", ",.0f"),
    "dram_read_bytes": ("main memory read, B", ",.0f"),
    "dram_write_bytes": ("main memory written, B", ",.0f"),
    "sram_read_bytes": ("SRAM read, B", ",.0f"),
    "sram_write_bytes": ("SRAM written, B", ",.0f"),
    "alive_bytes": ("feature maps at most, B", ",.0f"),
    "energy_total_uj": ("energy, uJ", ",.3f"),
}
"""Key of ``Estimate.totals`` -> what it is called, and how it is written."""


@dataclass(frozen=True)
class Comparison:
    """Totals of several estimates.

    Attributes:
        estimates: By label; the first is what the others are compared with.
    """

    estimates: Mapping[str, Estimate]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a quantity: its name, and for each label the value and the ``... ratio`` to the first."""
        rows = []
        for key, (name, _) in QUANTITIES.items():
            values = {label: estimate.totals[key] for label, estimate in self.estimates.items()}
            first = next(iter(values.values()))
            ratios = {f"{label} ratio": value / first if first else None for label, value in values.items()}
            rows.append({"quantity": name, **values, **ratios})
        return rows

    def __str__(self) -> str:
        """A column for each estimate; behind the first, what part of the first each needs."""
        labels = list(self.estimates)
        header = ["", labels[0], *(column for label in labels[1:] for column in (label, "of it"))]
        lines = []
        for row, (_, form) in zip(self.rows, QUANTITIES.values(), strict=True):
            cells = [row["quantity"], format(row[labels[0]], form)]
            for label in labels[1:]:
                ratio = row[f"{label} ratio"]
                cells += [format(row[label], form), "-" if ratio is None else f"{ratio:.2f}"]
            lines.append(cells)
        return table(header, lines, left=1)


def compare(estimates: Mapping[str, Estimate]) -> Comparison:
    """Puts estimates side by side.

    Args:
        estimates: At least two, by the labels to show. The first is the one that the others are compared with.

    Raises:
        ValueError: Fewer than two estimates.
    """
    if len(estimates) < 2:
        raise ValueError(f"`estimates` must hold at least two estimates. Received: {len(estimates)}")
    return Comparison(dict(estimates))
