"""Energy per operation, from a table file in which every number has its citation.

    E_mac    = products * E_mult * bw * ba / 64 + sums * E_add32 + shifts * E_shift * ba / 8
               + vector operations * (E_mult + E_add32)
    E_sram   = (bytes / 8) * E_sram64(bank)
    E_dram   = (bytes / 4) * E_dram32
    E_static = cycles * E of one cycle, if the machine file gives it

with ``bw``, ``ba`` the operand widths that the multipliers spend, and as many products, sums and shifts as the array
really switches: one product and one sum for each multiply-accumulate that is not gated or skipped, unless the machine
multiplies in another way. Clock, control and wires are left out, and leakage too unless the machine file states it, so
energies compare designs; they do not predict a battery. ``checked = false`` in the table means that the number
was not looked up in the source that it is attributed to; outputs name those numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tflite_export.npu import schema
from tflite_export.npu.work import Arithmetic

FOLDER = Path(__file__).with_name("energies")


@dataclass(frozen=True)
class Entry:
    """One number of an energy table: picojoules, where it is from, and whether it was looked up there."""

    pj: float
    checked: bool
    source: str


@dataclass(frozen=True)
class EnergyTable:
    """An energy table file.

    Attributes:
        description: Process and voltage.
        int8_mult: One 8 x 8 bit product.
        int32_add: One 32-bit addition.
        dram_32b: 32 bits from or to main memory.
        sram_64b: 64 bits from or to an SRAM bank; the key is the bank's size in bytes.
        int8_shift: A shift of 8 bits; only machines that shift need it.
    """

    description: str
    int8_mult: Entry
    int32_add: Entry
    dram_32b: Entry
    sram_64b: Mapping[str, Entry]
    int8_shift: Entry | None = None

    def mac_pj(self, weight_bits: int, activation_bits: int) -> float:
        """One multiply-accumulate."""
        return self.int8_mult.pj * weight_bits * activation_bits / 64 + self.int32_add.pj

    def array_pj(self, arithmetic: Arithmetic) -> float:
        """All that an array switches in a layer."""
        weight_bits, activation_bits = arithmetic.bits
        product = self.int8_mult.pj * weight_bits * activation_bits / 64
        shift = self.int8_shift.pj * activation_bits / 8 if self.int8_shift else 0.0
        return arithmetic.products * product + arithmetic.sums * self.int32_add.pj + arithmetic.shifts * shift

    def vector_pj(self) -> float:
        """One element-wise operation, taken as a product and a sum."""
        return self.mac_pj(8, 8)

    def sram_pj(self, bank_bytes: int) -> float:
        """One byte to or from SRAM."""
        return self.sram_64b[str(bank_bytes)].pj / 8

    def dram_pj(self) -> float:
        """One byte to or from main memory."""
        return self.dram_32b.pj / 4

    def unchecked(self, bank_bytes: int, shifts: bool = False) -> list[str]:
        """Names of the numbers in use that were not looked up in their source."""
        used = {name: getattr(self, name) for name in ("int8_mult", "int32_add", "dram_32b")}
        used[f"sram_64b.{bank_bytes}"] = self.sram_64b[str(bank_bytes)]
        if shifts and self.int8_shift:
            used["int8_shift"] = self.int8_shift
        return [name for name, entry in used.items() if not entry.checked]


def load(table: str) -> EnergyTable:
    """An energy table by name, or from the path of a TOML file.

    Raises:
        ValueError: The name is not known, or the file is not a valid energy table.
        OSError: The file cannot be read.
    """
    path = Path(table) if table.endswith(".toml") else FOLDER / f"{table}.toml"
    if not table.endswith(".toml") and not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise ValueError(f"`energy_table` must be one of {known}, or the path of a .toml file. Received: {table}")
    return schema.build(EnergyTable, schema.read(path), f"energy table {path.name}")
