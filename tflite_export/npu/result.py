"""The result of an estimate: rows that sum to the totals, as a table, as CSV and as JSON."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from tflite_export.files import write_atomically
from tflite_export.npu.energy import EnergyTable
from tflite_export.npu.machine import Machine
from tflite_export.table import table

CYCLES = (
    "cycles_useful", "cycles_edge", "cycles_fill_drain", "cycles_imbalance", "cycles_decode", "cycles_memory_stall",
)  # fmt: skip
"""The parts of ``cycles_total``."""

ENERGIES = ("energy_mac_pj", "energy_sram_pj", "energy_dram_pj", "energy_static_pj")

SUMMED = (
    "cycles_total", *CYCLES, "macs", "macs_executed", "vector_ops",
    "weight_count", "weight_zeros", "weight_stored_bytes", "weight_entropy_bytes", "weight_moved_bytes",
    "sram_read_bytes", "sram_write_bytes", "dram_read_bytes", "dram_write_bytes",
    *ENERGIES,
)  # fmt: skip
"""Columns whose total is their sum."""

SHARES = {"p50": 50, "p95": 95, "max": 100}
"""Suffix of a column -> share of the samples that cost no more, in percent."""

SUMMED_WITH_DATA = ("activation_count", "activation_zeros")
NAME_WIDTH = 32

Cell = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Estimate:
    """Cost of a model on a machine.

    Attributes:
        machine: The machine.
        rows: One dictionary a layer, in execution order; keys carry the unit. The parts ``CYCLES`` sum to
            ``cycles_total``. ``algorithm`` names one with fewer
            products. ``macs`` are those of the layer, ``macs_executed`` those that took time. ``loop_order``
            says how operands travel (``Traffic.order``), ``tile`` the tile if there is one, ``alive_bytes`` the feature
            maps alive, ``accumulator_bits`` the width that no sum exceeds. Where samples differ, all numbers are means,
            and ``cycles_p50``, ``cycles_p95`` and ``cycles_max`` are not exceeded by as many percent of them.
        totals: The same keys summed (``alive_bytes``, ``accumulator_bits``: the largest; ``cycles_p50`` and so on: of
            whole samples), and ``time_us``, ``energy_total_uj``.
        energy_table: Energies per operation and where they are from.
        samples: Samples behind ``activation_count`` and ``activation_zeros``; 0 if no data was given.
        loads: Layer -> cycles of each cell, (folds, cells), on an array whose cells wait for each other; without data.
    """

    machine: Machine
    rows: list[dict[str, Any]]
    totals: dict[str, Any]
    energy_table: EnergyTable
    samples: int = 0
    loads: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def energy_basis(self) -> str:
        """How far the energies can be trusted, in one phrase; names the numbers that were not checked."""
        unchecked = self.energy_table.unchecked(self.machine.memory.sram_bank_bytes, self.machine.shifts)
        return f"relative; unverified: {', '.join(unchecked)}" if unchecked else "relative"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the rows, with tool, machine and energy basis on each."""
        origin = {"machine": self.machine.name, "tool": tool(), "energy_basis": self.energy_basis}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*(self.rows[0] if self.rows else self.totals), *origin])
        writer.writeheader()
        writer.writerows(row | origin for row in self.rows)
        write_atomically(path, text.getvalue().encode())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes rows, totals, and the whole machine and energy table they rest on."""
        machine = asdict(self.machine)
        machine["array"]["kind"] = self.machine.array.KIND
        content = {
            "tool": tool(),
            "machine": machine,
            "energy_table": asdict(self.energy_table),
            "energy_basis": self.energy_basis,
            "samples": self.samples,
            "totals": self.totals,
            "rows": self.rows,
        }
        write_atomically(path, json.dumps(content, indent=2).encode())

    def __str__(self) -> str:
        """The table, a line of totals, and what they mean in time and energy."""
        columns = tuple(c for c in COLUMNS if c[0] not in IF_ANY or self.totals[f"cycles_{c[0]}"])
        columns += DATA_COLUMNS if self.samples else ()
        cells = [[cell(row) for _, cell in columns] for row in [*self.rows, self.totals]]
        header, *lines = table([title for title, _ in columns], cells, left=2).splitlines()
        rule = "-" * max(map(len, [header, *lines]))
        head = f"{self.machine.name}: {self.machine.description}. {tool()}"
        return "\n".join([head, "", header, rule, *lines[:-1], rule, lines[-1], "", *self._foot()])

    def _foot(self) -> list[str]:
        t = self.totals
        static = f" + static {t['energy_static_pj'] / 1e6:.3f}" if t["energy_static_pj"] else ""
        lines = [
            f"{t['cycles_total']:,} cycles = {t['time_us']:,.1f} us at {self.machine.clock_hz / 1e6:g} MHz; "
            f"{t['macs']:,} MACs, array used {t['utilisation']:.1%}",
            f"main memory {t['dram_read_bytes']:,} B read, {t['dram_write_bytes']:,} B written; "
            f"feature maps {t['alive_bytes']:,} B at most",
            f"energy {t['energy_total_uj']:.3f} uJ = MAC {t['energy_mac_pj'] / 1e6:.3f} "
            f"+ SRAM {t['energy_sram_pj'] / 1e6:.3f} + DRAM {t['energy_dram_pj'] / 1e6:.3f}{static} "
            f"({self.energy_basis})",
        ]
        if "cycles_p50" in t:
            lines.insert(
                1,
                f"{self.samples} samples: {t['cycles_total']:,} cycles on average, {t['cycles_p50']:,} for half "
                f"of them, {t['cycles_p95']:,} for 95 %, {t['cycles_max']:,} at most",
            )
        return lines


def totals(rows: Sequence[Mapping[str, Any]], machine: Machine, cycles: np.ndarray | None = None) -> dict[str, Any]:
    """Sums of the rows; utilisation, time and energy of the whole; ``cycles`` of each sample, if they differ."""
    keys = SUMMED + tuple(key for key in SUMMED_WITH_DATA if rows and key in rows[0])
    total: dict[str, Any] = {"layer": "total", "op": "", "loop_order": "", "tile": "", "algorithm": ""}
    total |= {key: sum(row[key] for row in rows) for key in keys}
    busy = sum(row["utilisation"] * row["cycles_total"] for row in rows)
    total["utilisation"] = min(busy / total["cycles_total"], 1.0) if total["cycles_total"] else 0.0
    for key in ("alive_bytes", "accumulator_bits"):
        total[key] = max((row[key] for row in rows), default=0)
    total["time_us"] = total["cycles_total"] / machine.clock_hz * 1e6
    total["energy_total_uj"] = sum(total[key] for key in ENERGIES) / 1e6
    return total | ({} if cycles is None else spread(cycles))


def spread(cycles: np.ndarray) -> dict[str, int]:
    """Cycles that half of the samples, 95 % and all of them do not exceed."""
    found = np.percentile(cycles, list(SHARES.values()), method="inverted_cdf")
    return {f"cycles_{name}": int(value) for name, value in zip(SHARES, found)}


def tool() -> str:
    """Name and version of what made the estimate."""
    try:
        return f"tfcompress {version('tfcompress')}"
    except PackageNotFoundError:
        return "tfcompress (not installed)"


def _short(name: str) -> str:
    name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= NAME_WIDTH else f"...{name[3 - NAME_WIDTH :]}"


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _cycle_share(kind: str) -> Cell:
    return lambda row: _percent(row[f"cycles_{kind}"], row["cycles_total"])


def _number(key: str) -> Cell:
    return lambda row: f"{row[key]:,}"


def _nanojoule(part: str) -> Cell:
    return lambda row: f"{row[f'energy_{part}_pj'] / 1e3:,.1f}"


COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("layer", lambda row: _short(row["layer"])),
    ("op", lambda row: row["op"]),
    ("cycles", _number("cycles_total")),
    ("useful", _cycle_share("useful")),
    ("edge", _cycle_share("edge")),
    ("fill", _cycle_share("fill_drain")),
    ("imbalance", _cycle_share("imbalance")),
    ("decode", _cycle_share("decode")),
    ("stall", _cycle_share("memory_stall")),
    ("MACs", _number("macs")),
    ("weights B", _number("weight_moved_bytes")),
    ("zeros", lambda row: _percent(row["weight_zeros"], row["weight_count"])),
    ("DRAM B", lambda row: f"{row['dram_read_bytes'] + row['dram_write_bytes']:,}"),
    ("MAC nJ", _nanojoule("mac")),
    ("SRAM nJ", _nanojoule("sram")),
    ("DRAM nJ", _nanojoule("dram")),
    ("order", lambda row: row["loop_order"]),
)

IF_ANY = ("imbalance", "decode")
"""Columns that are left out if there is nothing in them."""

DATA_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("zeros in", lambda row: _percent(row["activation_zeros"], row["activation_count"])),
)
