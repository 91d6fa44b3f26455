"""Machine files: what an NPU is made of, in TOML.

A machine is a file with the keys of ``Machine``; each ``[table]`` holds the keys of the class named here. All keys are
required, others are refused::

    description = "16 x 16 output-stationary array, 256 KiB"   # one line, shown by machines()
    clock_hz = 500_000_000
    weight_format = "entropy"      # weights travel entropy coded; "dense": as the file stores them
    energy_table = "45nm"          # a table that ships here, or a path relative to this file

    [array]                        # Systolic, or DotEngine with kind = "dot"
    kind = "systolic"
    dataflow = "output_stationary"
    rows = 16
    columns = 16
    multiplier_bits = 8

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
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tflite_export.npu import energy, schema
from tflite_export.npu.arrays import DotEngine, Systolic
from tflite_export.npu.schema import Count, Natural
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
        weight_format: How weights travel, ``"dense"`` (as stored in the file) or ``"entropy"`` (entropy coded).
        energy_table: Name or path of the energies per operation.
        array: The multipliers.
        vector: The unit for everything else.
        memory: SRAM and main memory.
    """

    name: str
    description: str
    clock_hz: Count
    weight_format: Literal["dense", "entropy"]
    energy_table: str
    array: Systolic | DotEngine
    vector: Vector
    memory: Memory


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
    table = {"name": path.stem, **schema.read(path)}
    if str(table.get("energy_table")).endswith(".toml"):
        table["energy_table"] = str(path.parent / table["energy_table"])
    machine = schema.build(Machine, table, f"machine file {path.name}")
    banks = energies(machine).sram_64b
    if str(machine.memory.sram_bank_bytes) not in banks:
        raise ValueError(
            f"machine file {path.name}: `memory`: `sram_bank_bytes` must be a size that energy table "
            f"{machine.energy_table} lists: {', '.join(banks)}. Received: {machine.memory.sram_bank_bytes}"
        )
    return machine


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.toml"), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in path.stem.split("-")]
