"""What a file with gates really computes: it runs on data, and what gates multiply by zero is left out and counted."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export import flatbuffer
from tflite_export.ir import Graph
from tflite_export.table import table

Row = dict[str, Any]


@dataclass(frozen=True)
class Executed:
    """The result of ``executed``.

    Attributes:
        outputs: One array per output of the model, codes or floats as the file has them.
        rows: One dictionary per linear op: ``layer``, ``op``, ``gate`` (name of the tensor that decides on its filters,
            or an empty string), ``macs`` of the whole op; ``executed_macs``, ``filters`` and ``inputs``, the
            multiply-accumulates, filters and input channels that were computed, on average.
        totals: ``macs`` and ``executed_macs`` of all rows.
        macs: Executed multiply-accumulates of each sample, (samples,).
        open_gates: Name of the gate's tensor -> whether each channel is on, bool (samples, channels).
    """

    outputs: list[np.ndarray]
    rows: list[Row]
    totals: dict[str, float]
    macs: np.ndarray
    open_gates: dict[str, np.ndarray]

    def rates(self, labels: np.ndarray | Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """The fraction of samples for which each channel is on.

        Args:
            labels: A class for each sample, whole numbers, to have rates for each class. Default: none.

        Returns:
            Name of the gate's tensor -> rates, (channels,), or (classes, channels) with classes in rising order.

        Raises:
            ValueError: There are not as many labels as samples.
        """
        if labels is None:
            return {name: found.mean(axis=0) for name, found in self.open_gates.items()}
        of, samples = np.asarray(labels).reshape(-1), len(self.macs)
        if len(of) != samples:
            raise ValueError(f"`labels` must hold a class for each of {samples} samples. Received: {len(of)}")
        classes = np.unique(of)
        return {name: np.stack([g[of == c].mean(axis=0) for c in classes]) for name, g in self.open_gates.items()}

    def __str__(self) -> str:
        """The rows as a table, with a line of totals."""
        cells = [
            (row["layer"], row["op"], f"{row['macs']:,}", f"{row['executed_macs']:,.0f}", _share(row), row["gate"])
            for row in (*self.rows, {"layer": "total", "op": "", "gate": "", **self.totals})
        ]
        return table(["layer", "op", "MACs", "executed", "share", "gate"], cells, left=2)


def executed(model: bytes | str | os.PathLike[str] | Graph, data: np.ndarray | Sequence[np.ndarray]) -> Executed:
    """Runs a model sample by sample without what gates switch off, and counts.

    The outputs are those of ``Interpreter``, bit for bit. Any file will do: a gate is a tensor, computed at run time,
    that multiplies each channel of a feature map, and it switches off where its code stands for zero.

    Args:
        model: Content of a ``.tflite`` file, its path, or a graph; made for batch 1.
        data: Samples first; a list of arrays for several inputs; codes, or floats, which are rounded to codes.

    Raises:
        ValueError: The model cannot be read or keeps state, or the data does not fit.
        OSError: The file cannot be read.
    """
    from tflite_export.interpreter.prediction import encode  # compiles kernels when first imported
    from tflite_export.interpreter.skipping import SkippingExecutor

    graph = model if isinstance(model, Graph) else flatbuffer.read(_content(model))
    given = [np.asarray(a) for a in ([data] if isinstance(data, np.ndarray) else data)]
    tensors = [graph.tensors[t] for t in graph.inputs]
    samples = len(given[0]) if given and given[0].ndim else 0
    fits = all(a.shape == (samples, *t.shape[1:]) for a, t in zip(given, tensors))
    if len(given) != len(tensors) or not samples or not fits:
        wanted = [("samples", *t.shape[1:]) for t in tensors]
        raise ValueError(f"`data` must hold arrays of shapes {wanted}. Received: {[a.shape for a in given]}")
    codes = [encode(array, tensor) for array, tensor in zip(given, tensors)]
    return _collected(SkippingExecutor(graph), codes)


def _content(model: bytes | str | os.PathLike[str]) -> bytes:
    return model if isinstance(model, bytes) else Path(model).read_bytes()


def _collected(executor: Any, codes: Sequence[np.ndarray]) -> Executed:
    """Runs all samples and sums up."""
    from tflite_export.interpreter.channel_masks import switch_of, zeros

    graph, samples = executor.graph, len(codes[0])
    switches = dict.fromkeys(s[1] for op in graph.ops if (s := switch_of(graph, op)))
    on: dict[int, list[np.ndarray]] = {t: [] for t in switches}
    counts: dict[int, list[tuple[int, int, int]]] = {}
    results: list[list[np.ndarray]] = [[] for _ in graph.outputs]
    for n in range(samples):
        values, parts = executor.run([array[n : n + 1] for array in codes])
        for k, part in parts.items():
            counts.setdefault(k, []).append((part.macs, len(part.filters), len(part.inputs)))
        for t, found in on.items():
            found.append(~zeros(graph.tensors[t], values[t].reshape(-1)))
        for place, t in zip(results, graph.outputs):
            place.append(values[t])
    rows = [_row(executor, k, np.mean(counts[k], axis=0)) for k in sorted(counts)]
    return Executed(
        [np.concatenate(place) for place in results],
        rows,
        {key: sum(row[key] for row in rows) for key in ("macs", "executed_macs")},
        np.sum([np.array(rows_of)[:, 0] for rows_of in counts.values()], axis=0),
        {graph.tensors[t].name: np.stack(found) for t, found in on.items()},
    )


def _row(executor: Any, k: int, means: np.ndarray) -> Row:
    from tflite_export.interpreter.parts import part_of

    graph, op = executor.graph, executor.graph.ops[k]
    x, y = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    whole = part_of(op, graph.tensors, np.zeros(y.shape[-1], bool), np.zeros(x.shape[-1], bool))
    gate = graph.tensors[executor.gates[k]].name if k in executor.gates else ""
    names = ("executed_macs", "filters", "inputs")
    return {"layer": y.name, "op": op.kind, "gate": gate, "macs": whole.macs, **dict(zip(names, means.tolist()))}


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['executed_macs'] / row['macs']:.0%}" if row["macs"] else "-"
