"""The result of an estimate: rows that sum to the totals, as a table, as CSV and as JSON."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tflite_export.files import write_atomically
from tflite_export.npu.energy import EnergyTable
from tflite_export.npu.machine import Machine
from tflite_export.table import table

SUMMED = (
    "cycles_total", "cycles_useful", "cycles_edge", "cycles_fill_drain", "cycles_memory_stall", "macs", "vector_ops",
    "weight_count", "weight_zeros", "weight_stored_bytes", "weight_entropy_bytes", "weight_moved_bytes",
    "sram_read_bytes", "sram_write_bytes", "dram_read_bytes", "dram_write_bytes",
    "energy_mac_pj", "energy_sram_pj", "energy_dram_pj",
)  # fmt: skip
"""Columns whose total is their sum."""

SUMMED_WITH_DATA = ("activation_count", "activation_zeros")
NAME_WIDTH = 32

Cell = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Estimate:
    """Cost of a model on a machine.

    Attributes:
        machine: The machine.
        rows: One dictionary a layer, in execution order; keys carry the unit. ``cycles_useful``, ``cycles_edge``,
            ``cycles_fill_drain`` and ``cycles_memory_stall`` sum to ``cycles_total``. ``loop_order`` says how operands
            travel (``Traffic.order``), ``tile`` the tile if there is one, ``alive_bytes`` the feature maps alive.
        totals: The same keys summed (``alive_bytes``: the largest), and ``time_us``, ``energy_total_uj``.
        energy_table: Energies per operation and where they are from.
        samples: Samples behind ``activation_count`` and ``activation_zeros``; 0 if no data was given.
    """

    machine: Machine
    rows: list[dict[str, Any]]
    totals: dict[str, Any]
    energy_table: EnergyTable
    samples: int = 0

    @property
    def energy_basis(self) -> str:
        """How far the energies can be trusted, in one phrase; names the numbers that were not checked."""
        unchecked = self.energy_table.unchecked(self.machine.memory.sram_bank_bytes)
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
        columns = COLUMNS + (DATA_COLUMNS if self.samples else ())
        cells = [[cell(row) for _, cell in columns] for row in [*self.rows, self.totals]]
        header, *lines = table([title for title, _ in columns], cells, left=2).splitlines()
        rule = "-" * max(map(len, [header, *lines]))
        head = f"{self.machine.name}: {self.machine.description}. {tool()}"
        return "\n".join([head, "", header, rule, *lines[:-1], rule, lines[-1], "", *self._foot()])

    def _foot(self) -> list[str]:
        t = self.totals
        return [
            f"{t['cycles_total']:,} cycles = {t['time_us']:,.1f} us at {self.machine.clock_hz / 1e6:g} MHz; "
            f"{t['macs']:,} MACs, array used {t['utilisation']:.1%}",
            f"main memory {t['dram_read_bytes']:,} B read, {t['dram_write_bytes']:,} B written; "
            f"feature maps {t['alive_bytes']:,} B at most",
            f"energy {t['energy_total_uj']:.3f} uJ = MAC {t['energy_mac_pj'] / 1e6:.3f} "
            f"+ SRAM {t['energy_sram_pj'] / 1e6:.3f} + DRAM {t['energy_dram_pj'] / 1e6:.3f} ({self.energy_basis})",
        ]


def totals(rows: Sequence[Mapping[str, Any]], machine: Machine) -> dict[str, Any]:
    """Sums of the rows; utilisation, time and energy of the whole."""
    keys = SUMMED + tuple(key for key in SUMMED_WITH_DATA if rows and key in rows[0])
    total: dict[str, Any] = {"layer": "total", "op": "", "loop_order": "", "tile": ""}
    total |= {key: sum(row[key] for row in rows) for key in keys}
    cycles = total["cycles_total"]
    total["utilisation"] = total["macs"] / (cycles * machine.array.macs_per_cycle) if cycles else 0.0
    total["alive_bytes"] = max((row["alive_bytes"] for row in rows), default=0)
    total["time_us"] = cycles / machine.clock_hz * 1e6
    total["energy_total_uj"] = (total["energy_mac_pj"] + total["energy_sram_pj"] + total["energy_dram_pj"]) / 1e6
    return total


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

DATA_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("zeros in", lambda row: _percent(row["activation_zeros"], row["activation_count"])),
)
