"""One row a layer: the cost of an op, with its transfers and its energy, as an estimate shows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export.ir import Graph
from tflite_export.npu.cost import cost_of
from tflite_export.npu.dma import sram_bytes, total_cycles
from tflite_export.npu.energy import EnergyTable
from tflite_export.npu.machine import Machine
from tflite_export.npu.memory import Placement, traffic
from tflite_export.npu.seen import Seen
from tflite_export.npu.tiling import Traffic
from tflite_export.npu.work import Cost

if TYPE_CHECKING:  # the interpreter compiles its kernels when first imported
    from tflite_export.interpreter.parts import Part

Row = dict[str, Any]

ON_ARRAY = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
"""Ops whose products the array may skip."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A model on a machine.

    Attributes:
        graph: The model.
        machine: The machine.
        table: Its energies.
        widths: Bits that the codes of feature maps need, by tensor index.
    """

    graph: Graph
    machine: Machine
    table: EnergyTable
    widths: Mapping[int, int] = field(default_factory=dict)

    def costs(self) -> list[Cost]:
        """The cost of every op, before anything is known of feature maps but their widths."""
        return [self.cost(step, Seen(self.widths)) for step in range(len(self.graph.ops))]

    def cost(self, step: int, seen: Seen) -> Cost:
        """The cost of one op.

        Raises:
            ValueError: It has none; the message names the layer.
        """
        op = self.graph.ops[step]
        return self._named(step, cost_of, op, self.graph.tensors, self.machine, seen)

    def cost_of_part(self, step: int, part: "Part", values: Mapping[int, np.ndarray]) -> Cost:
        """The cost of an op of which only some channels are computed; ``values`` of its input, if they matter."""
        if not part.macs:
            return Cost(renames=True)
        x = self.graph.ops[step].inputs[0]
        seen = Seen({0: self.widths.get(x, 0)}, {0: values[x][..., part.inputs]} if x in values else {})
        return self._named(step, cost_of, part.op, part.tensors, self.machine, seen)

    def row(self, step: int, cost: Cost, placement: Placement) -> Row:
        """What is shown of an op; keys carry the unit."""
        graph, op = self.graph, self.graph.ops[step]
        fits, resident = placement.fits[step], placement.resident
        moved = self._named(step, traffic, graph, op, cost, fits, resident, self.machine)
        cycles = total_cycles(cost.work, moved, self.machine.memory)
        row = {"layer": self.name(step), "op": op.kind, **_shape(moved), **self._cycles(cost, cycles)}
        row |= _weights(cost, self.machine) | self._bytes_and_energy(cost, moved, cycles)
        return row | {
            "algorithm": cost.algorithm,
            "accumulator_bits": cost.accumulator_bits,
            "alive_bytes": placement.alive_bytes[step],
        }

    def name(self, step: int) -> str:
        """Name of a layer: that of its first output."""
        op = self.graph.ops[step]
        return self.graph.tensors[op.outputs[0]].name if op.outputs else op.kind

    def _cycles(self, cost: Cost, cycles: int) -> Row:
        work = cost.work
        return {
            "cycles_total": cycles,
            "cycles_useful": work.useful,
            "cycles_edge": work.edge,
            "cycles_fill_drain": work.fill_drain,
            "cycles_imbalance": work.imbalance,
            "cycles_decode": work.decode,
            "cycles_memory_stall": cycles - work.cycles,
            "utilisation": cost.busy / (cycles * self.machine.macs_per_cycle) if cycles else 0.0,
            "macs": cost.macs,
            "macs_executed": cost.executed,
            "vector_ops": cost.vector_ops,
        }

    def _bytes_and_energy(self, cost: Cost, moved: Traffic, cycles: int) -> Row:
        table, bank = self.table, self.machine.memory.sram_bank_bytes
        read, written = sram_bytes(cost.work, moved)
        return {
            "sram_read_bytes": read,
            "sram_write_bytes": written,
            "dram_read_bytes": moved.read_bytes,
            "dram_write_bytes": moved.write_bytes,
            "energy_mac_pj": sum(map(table.array_pj, cost.arithmetic)) + cost.vector_ops * table.vector_pj(),
            "energy_sram_pj": (read + written) * table.sram_pj(bank),
            "energy_dram_pj": (moved.read_bytes + moved.write_bytes) * table.dram_pj(),
            "energy_static_pj": cycles * self.machine.static_pj_per_cycle,
        }

    def _named(self, step: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """``function(*arguments)``; an error says which layer it was."""
        try:
            return function(*arguments)
        except ValueError as error:
            raise ValueError(f"layer `{self.name(step)}`: {error}") from error


def _shape(moved: Traffic) -> Row:
    return {"loop_order": moved.order, "tile": "x".join(map(str, moved.tile)) if moved.tile else ""}


def _weights(cost: Cost, machine: Machine) -> Row:
    return {
        "weight_count": cost.weights.count,
        "weight_zeros": cost.weights.zeros,
        "weight_stored_bytes": cost.weights.stored_bytes,
        "weight_entropy_bytes": cost.weights.entropy_bytes,
        "weight_moved_bytes": cost.weights.moved_bytes(machine.weight_format),
    }
