"""What a ``.tflite`` file costs on an NPU: cycles, bytes and energy of each layer, from the weights really in it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export import flatbuffer
from tflite_export.ir import Graph, Op
from tflite_export.npu import energy
from tflite_export.npu.cost import cost_of
from tflite_export.npu.dma import sram_bytes, total_cycles
from tflite_export.npu.machine import Machine, energies, load
from tflite_export.npu.memory import place, traffic
from tflite_export.npu.result import Estimate, totals
from tflite_export.npu.tiling import Traffic
from tflite_export.npu.work import Cost

Row = dict[str, Any]


def estimate(
    model: bytes | str | os.PathLike[str] | Graph,
    machine: str | os.PathLike[str] | Machine = "ethos-u55-128-like",
    data: np.ndarray | Sequence[np.ndarray] | None = None,
) -> Estimate:
    """Estimates an integer model on a machine.

    Args:
        model: Content of a ``.tflite`` file, its path, or a graph.
        machine: A name that ``machines()`` lists, the path of a machine file, or a ``Machine``.
        data: Samples to run through the interpreter; the estimate then also counts zeros in feature maps.

    Raises:
        ValueError: The model, the machine or the data is not valid, an op has no cost, or a layer cannot be run; the
            message names the layer.
        OSError: A file cannot be read.
    """
    graph, chip = _graph(model), load(machine)
    table, activity = energies(chip), _activity(graph, data)
    costs = [_named(graph, op, cost_of, op, graph.tensors, chip) for op in graph.ops]
    placement = place(graph, costs, chip)
    rows: list[Row] = []
    for step, (op, cost) in enumerate(zip(graph.ops, costs)):
        moved = _named(graph, op, traffic, graph, op, cost, placement.fits[step], placement.resident, chip)
        row = {"layer": _name(graph, op), "op": op.kind, **_row(cost, moved, chip, table)}
        row["alive_bytes"] = placement.alive_bytes[step]
        if activity is not None:
            row |= {"activation_count": activity.count[step], "activation_zeros": activity.zeros[step]}
        rows.append(row)
    return Estimate(chip, rows, totals(rows, chip), table, activity.samples if activity else 0)


def _row(cost: Cost, moved: Traffic, machine: Machine, table: energy.EnergyTable) -> Row:
    cycles = total_cycles(cost.work, moved, machine.memory)
    sram_read, sram_written = sram_bytes(cost.work, moved)
    arithmetic = cost.macs * table.mac_pj(*cost.mac_bits) + cost.vector_ops * table.vector_pj()
    return {
        "loop_order": moved.order,
        "tile": "x".join(map(str, moved.tile)) if moved.tile else "",
        "cycles_total": cycles,
        "cycles_useful": cost.work.useful,
        "cycles_edge": cost.work.edge,
        "cycles_fill_drain": cost.work.fill_drain,
        "cycles_memory_stall": cycles - cost.work.cycles,
        "utilisation": cost.macs / (cycles * machine.array.macs_per_cycle) if cycles else 0.0,
        "macs": cost.macs,
        "vector_ops": cost.vector_ops,
        "weight_count": cost.weights.count,
        "weight_zeros": cost.weights.zeros,
        "weight_stored_bytes": cost.weights.stored_bytes,
        "weight_entropy_bytes": cost.weights.entropy_bytes,
        "weight_moved_bytes": cost.weights.moved_bytes(machine.weight_format),
        "sram_read_bytes": sram_read,
        "sram_write_bytes": sram_written,
        "dram_read_bytes": moved.read_bytes,
        "dram_write_bytes": moved.write_bytes,
        "energy_mac_pj": arithmetic,
        "energy_sram_pj": (sram_read + sram_written) * table.sram_pj(machine.memory.sram_bank_bytes),
        "energy_dram_pj": (moved.read_bytes + moved.write_bytes) * table.dram_pj(),
    }


def _graph(model: bytes | str | os.PathLike[str] | Graph) -> Graph:
    if isinstance(model, Graph):
        return model
    return flatbuffer.read(model if isinstance(model, bytes) else Path(model).read_bytes())


def _activity(graph: Graph, data: np.ndarray | Sequence[np.ndarray] | None) -> Any:
    if data is None:
        return None
    from tflite_export.npu.activity import observe  # the interpreter compiles its kernels when first imported

    return observe(graph, data)


def _name(graph: Graph, op: Op) -> str:
    return graph.tensors[op.outputs[0]].name if op.outputs else op.kind


def _named(graph: Graph, op: Op, function: Any, *arguments: Any) -> Any:
    """``function(*arguments)``; an error says which layer it was."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"layer `{_name(graph, op)}`: {error}") from error
