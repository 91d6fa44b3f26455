"""Machine files: what an NPU is made of, in TOML.

A machine is a file with the keys of ``Machine``; each ``[table]`` holds the keys of the class named here. Keys with a
default value may be left out, unknown ones are refused::

    description = "16 x 16 output-stationary array, 256 KiB"   # one line, shown by machines()
    clock_hz = 500_000_000
    weight_format = "entropy"      # how weights travel, see ``formats``; "dense": as the file stores them
    energy_table = "45nm"          # a table that ships here, or a path relative to this file
    weight_zeros = "charged"       # "gated": products with a zero weight cost no energy; "skipped": no time either
    activation_zeros = "charged"   # the same for inputs; has an effect on estimates with data only
    channel_gates = "charged"      # "skipped": with data, channels that gates switch off are not computed
    cores = 1                      # arrays side by side, which share each layer and the memories
    winograd = 0                   # 2 or 4: size of the tiles in which 3 x 3 convolutions may be computed
    static_pj_per_cycle = 0.0      # leakage and clock, for each cycle

    [array]                        # Systolic, DotEngine (kind = "dot") or Parallel (kind = "parallel")
    kind = "systolic"
    dataflow = "output_stationary"
    rows = 16
    columns = 16
    multiplier_bits = 8
    multiplier = "fixed"           # see ``multipliers``

    [vector]                       # Vector
    lanes = 16
    pooling = "vector"

    [memory]                       # Memory
    sram_bytes = 262_144
    sram_bank_bytes = 32_768
    sram_bytes_per_cycle = 64
    dram_bytes_per_cycle = 8
    dram_latency_cycles = 100
    dram_burst_bytes = 64
    buffers = 2
    layout = "nhwc"

    [decoder]                      # Decoder; without this table, decoding takes no time
    bits_per_cycle = 256
    symbols_per_cycle = 16

A file may start from another one and state what is different; an ``[array]`` of another ``kind`` replaces the whole
table::

    base = "balanced-16x16"        # a machine that ships here, or a path relative to this file
    description = "the same with queues for eight groups"

    [array]
    queue_depth = 8
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tflite_export.npu import energy, schema
from tflite_export.npu.arrays import DotEngine, Parallel, Systolic
from tflite_export.npu.decoder import Decoder
from tflite_export.npu.formats import Format
from tflite_export.npu.multipliers import SHIFTS
from tflite_export.npu.schema import Amount, Count, Natural
from tflite_export.npu.values import Zeros
from tflite_export.npu.vector import Vector

FOLDER = Path(__file__).with_name("machines")


@dataclass(frozen=True)
class Memory:
    """Table ``[memory]``: one SRAM on the chip, one main memory ("DRAM", or flash where it is only read).

    Attributes:
        sram_bytes: Size of the SRAM.
        sram_bank_bytes: Size of one bank, which decides the energy of an access; one that the energy table lists.
        sram_bytes_per_cycle: Bandwidth of the SRAM, reads and writes together.
        dram_bytes_per_cycle: Bandwidth of main memory, reads and writes together.
        dram_latency_cycles: Cycles until the first byte of a transfer arrives.
        dram_burst_bytes: Main memory delivers whole bursts of that size.
        buffers: 2 if transfers run beside the computation, 1 if they wait for each other.
        layout: ``"nhwc"``: rows of pixels; ``"nhcwb16"``: rows of bricks of 16 channels, padded.
    """

    sram_bytes: Count
    sram_bank_bytes: Count
    sram_bytes_per_cycle: float
    dram_bytes_per_cycle: float
    dram_latency_cycles: Natural
    dram_burst_bytes: Count
    buffers: Literal[1, 2]
    layout: Literal["nhwc", "nhcwb16"]


@dataclass(frozen=True)
class Machine:
    """A machine file, read.

    Attributes:
        name: The file's name without ending, unless the file says otherwise.
        description: One line.
        clock_hz: Cycles a second.
        weight_format: How weights travel, see ``formats``.
        energy_table: Name or path of the energies per operation.
        array: The multipliers.
        vector: The unit for everything else.
        memory: SRAM and main memory.
        weight_zeros: What happens to products with a zero weight, see ``values``.
        activation_zeros: What happens to products with a zero input.
        channel_gates: Whether channels that a gate switches off are computed all the same.
        cores: Arrays that share each layer.
        winograd: Outputs of a tile along each side, or 0.
        static_pj_per_cycle: Energy of a cycle in which nothing happens.
        decoder: The weight decoder, if it can be a bottleneck.
    """

    name: str
    description: str
    clock_hz: Count
    weight_format: Format
    energy_table: str
    array: Systolic | DotEngine | Parallel
    vector: Vector
    memory: Memory
    weight_zeros: Zeros = "charged"
    activation_zeros: Zeros = "charged"
    channel_gates: Literal["charged", "skipped"] = "charged"
    cores: Count = 1
    winograd: Literal[0, 2, 4] = 0
    static_pj_per_cycle: Amount = 0.0
    decoder: Decoder | None = None

    def __post_init__(self) -> None:
        for name in ("weight_zeros", "activation_zeros"):
            if getattr(self, name) == "skipped" and self.array.KIND != "parallel":
                raise ValueError(
                    f'`{name}` can be "skipped" by an array of kind "parallel" only. Received: kind='
                    f'"{self.array.KIND}". Use "gated", which saves energy and no time'
                )

    @property
    def macs_per_cycle(self) -> int:
        """Peak rate of all cores."""
        return self.cores * self.array.macs_per_cycle

    @property
    def shifts(self) -> bool:
        """It shifts where others multiply."""
        return self.array.multiplier in SHIFTS


def machines() -> dict[str, str]:
    """Names of the machines that ship here, with their descriptions."""
    return {path.stem: _read(path).description for path in _files()}


def load(machine: str | os.PathLike[str] | Machine) -> Machine:
    """A machine by name, or from the path of a TOML file.

    Raises:
        ValueError: The name is not known, or the file is not a valid machine.
        OSError: The file cannot be read.
    """
    if isinstance(machine, Machine):
        return machine
    path = Path(machine)
    if path.suffix == ".toml":
        return _read(path)
    shipped = {file.stem: file for file in _files()}
    if str(machine) not in shipped:
        raise ValueError(
            f"`machine` must be one of {', '.join(shipped)}, or the path of a .toml file. Received: {machine}"
        )
    return _read(shipped[str(machine)])


def energies(machine: Machine) -> energy.EnergyTable:
    """The energies per operation that the machine names."""
    return energy.load(machine.energy_table)


def _read(path: Path) -> Machine:
    table = {"name": path.stem, **_with_base(path, ())}
    machine = schema.build(Machine, table, f"machine file {path.name}")
    known = energies(machine)
    if str(machine.memory.sram_bank_bytes) not in known.sram_64b:
        raise ValueError(
            f"machine file {path.name}: `memory`: `sram_bank_bytes` must be a size that energy table "
            f"{machine.energy_table} lists: {', '.join(known.sram_64b)}. Received: {machine.memory.sram_bank_bytes}"
        )
    if machine.shifts and known.int8_shift is None:
        raise ValueError(
            f"machine file {path.name}: energy table {machine.energy_table} must have `int8_shift` for a machine with "
            f'multiplier "{machine.array.multiplier}"'
        )
    return machine


def _with_base(path: Path, files: tuple[Path, ...]) -> dict[str, Any]:
    """The content of a file on top of that of its base; an energy table is looked for beside the file naming it."""
    if path.resolve() in files:
        raise ValueError(
            f"machine file {path.name} must not be its own base. Received: {' -> '.join(f.name for f in files)}"
        )
    table = schema.read(path)
    if str(table.get("energy_table")).endswith(".toml"):
        table["energy_table"] = str(path.parent / table["energy_table"])
    if "base" not in table:
        return table
    base = _base(str(table.pop("base")), path)
    return _merged(_with_base(base, (*files, path.resolve())), table)


def _base(name: str, path: Path) -> Path:
    file = path.parent / name if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and not file.is_file():
        known = ", ".join(file.stem for file in _files())
        raise ValueError(
            f"machine file {path.name}: `base` must be one of {known}, or the path of a .toml file. Received: {name}"
        )
    return file


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below}
    for key, value in above.items():
        old = merged.get(key)
        tables = isinstance(value, Mapping) and isinstance(old, Mapping)
        merged[key] = _merged_table(old, value) if tables else value
    return merged


def _merged_table(below: Any, above: Any) -> dict[str, Any]:
    replaces = "kind" in above and above["kind"] != below.get("kind")
    return dict(above) if replaces else {**below, **above}


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.toml"), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in path.stem.split("-")]
