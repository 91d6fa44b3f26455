"""What a ``.tflite`` file costs on an NPU: cycles, bytes and energy of each layer, from the weights really in it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tflite_export import flatbuffer
from tflite_export.ir import Graph
from tflite_export.npu.machine import Machine, energies, load
from tflite_export.npu.memory import place
from tflite_export.npu.result import Estimate, totals
from tflite_export.npu.seen import widths
from tflite_export.npu.sheet import Sheet


def estimate(
    model: bytes | str | os.PathLike[str] | Graph,
    machine: str | os.PathLike[str] | Machine = "ethos-u55-128-like",
    data: np.ndarray | Sequence[np.ndarray] | None = None,
) -> Estimate:
    """Estimates an integer model on a machine.

    Args:
        model: Content of a ``.tflite`` file, its path, or a graph.
        machine: A name that ``machines()`` lists, the path of a machine file, or a ``Machine``.
        data: Samples to run through the interpreter; the estimate then also counts zeros in feature maps. On a machine
            that skips or gates zero inputs, or skips channels that gates switch off, each sample has a cost of its own.

    Raises:
        ValueError: The model, the machine or the data is not valid, an op has no cost, or a layer cannot be run; the
            message names the layer.
        OSError: A file cannot be read.
    """
    graph, chip = _graph(model), load(machine)
    sheet = Sheet(graph, chip, energies(chip), widths(graph))
    costs = sheet.costs()
    placement = place(graph, costs, chip)
    rows = [sheet.row(step, cost, placement) for step, cost in enumerate(costs)]
    samples, cycles = 0, None
    if data is not None:
        from tflite_export.npu.samples import measured  # the interpreter compiles its kernels when first imported

        rows, samples, cycles = measured(sheet, rows, placement, data)
    loads = {row["layer"]: cost.work.loads for row, cost in zip(rows, costs) if cost.work.loads is not None}
    return Estimate(chip, rows, totals(rows, chip, cycles), sheet.table, samples, loads)


def _graph(model: bytes | str | os.PathLike[str] | Graph) -> Graph:
    if isinstance(model, Graph):
        return model
    return flatbuffer.read(model if isinstance(model, bytes) else Path(model).read_bytes())
