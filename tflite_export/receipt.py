"""What a file really holds, read back from its bytes, and whether that is what was asked for.

Compression is promised in Keras and paid out in the flatbuffer. The receipt looks at the flatbuffer alone: how many
bits the stored codes need, how many of them are zero, what an entropy coder would make of them. Then it compares:
with the requests that the file carries in its metadata or, if the Keras model is at hand, code by code with that.
"""

import csv
import io
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tflite_export import measures
from tflite_export.files import write_atomically
from tflite_export.flatbuffer import read, stored_tables
from tflite_export.flatbuffer.lut import Lut, tables
from tflite_export.flatbuffer.packing import pack
from tflite_export.ir import Graph, Op, Tensor
from tflite_export.multipliers import operations
from tflite_export.promises import from_metadata, overdrawn
from tflite_export.table import table

COLUMNS = (
    "tensor", "op", "shape", "dtype", "bits", "true_bits", "distinct", "elements", "zeros", "zeros_percent",
    "pattern", "raw_bytes", "entropy_bytes", "zlib_bytes", "shift_only", "lut_bits", "lut_bytes",
)  # fmt: skip
SUMMED = ("elements", "zeros", "raw_bytes", "entropy_bytes", "zlib_bytes", "lut_bytes")


@dataclass(frozen=True)
class Receipt:
    """What a file holds.

    Attributes:
        rows: One per constant tensor: ``tensor``, ``op`` that reads it, ``shape``, ``dtype``, declared ``bits`` and
            ``true_bits`` that its codes need, ``distinct`` values, ``elements``, ``zeros``, ``zeros_percent``,
            N:M ``pattern``, ``raw_bytes`` as stored, ``entropy_bytes`` of an ideal coder with its table,
            ``zlib_bytes``, ``shift_only``, whether all its requantisation multipliers are powers of two (None where
            the question makes no sense), ``lut_bits`` of an index if it is stored by a table of values (else None), and
            ``lut_bytes`` that it takes in the form of ``compress_lut``.
        requests: One per quantised slot: ``layer``, ``slot``, ``tensor``, ``requested_bits``, ``delivered_bits``,
            ``ok``, ``note``; with a Keras model also zeros and distinct values on both sides.
        totals: Sums over distinct constants, and ``file_bytes``, ``file_zlib_bytes``.
        problems: What the file claims or was asked for, and does not hold.
        operations: One per op: ``layer``, ``op``, ``shift_only``, whether it multiplies by nothing but powers of two
            (None where that is not known), and by what else it ``multiplies``.
    """

    rows: Sequence[Mapping[str, Any]]
    requests: Sequence[Mapping[str, Any]]
    totals: Mapping[str, int]
    problems: Sequence[str]
    operations: Sequence[Mapping[str, Any]] = ()

    @property
    def ok(self) -> bool:
        """Everything that was asked for is in the file, and nothing is declared narrower than it is."""
        return not self.problems

    @property
    def shift_only(self) -> bool:
        """No op multiplies by anything but powers of two."""
        return all(record["shift_only"] for record in self.operations)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the rows."""
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(path, stream.getvalue().encode())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        write_atomically(path, json.dumps(content, indent=1).encode())

    def __str__(self) -> str:
        header = ("tensor", "read by", "shape", "type", "bits", "distinct", "zeros", "N:M", "bytes", "entropy", "zlib")
        lines = [_line(row) for row in self.rows]
        keys = ("raw_bytes", "entropy_bytes", "zlib_bytes")
        lines.append(("all constants", *[""] * 7, *(f"{self.totals[key]:,}" for key in keys)))
        size = f"{self.totals['file_bytes']:,} bytes in the file, {self.totals['file_zlib_bytes']:,} with zlib."
        if by_table := sum(1 for row in self.rows if row["lut_bits"]):
            size += f" Tables of values store {by_table} of {len(self.rows)} constants."
        return "\n".join([table(header, lines, left=4), "", size, *self._multiplications(), *self._verdict()])

    def _multiplications(self) -> Iterator[str]:
        """What else than shifts there is, told where there is little of it."""
        rest = [record for record in self.operations if not record["shift_only"]]
        if self.operations and len(rest) < len(self.operations) / 2:
            yield f"{len(self.operations) - len(rest)} of {len(self.operations)} ops multiply by powers of two only."
            yield from (f"  {r['layer']} ({r['op']}): {r['multiplies'] or 'not known'}" for r in rest)

    def _verdict(self) -> Iterator[str]:
        if self.ok:
            yield f"All {len(self.requests)} requests are delivered." if self.requests else "Nothing was asked for."
        else:
            yield "NOT delivered:"
            yield from (f"  {problem}" for problem in self.problems)


def receipt(blob: bytes, keras_model: Any = None) -> Receipt:
    """Reads a file back and says what it holds.

    Args:
        blob: The flatbuffer.
        keras_model: The model that was exported. Its deployed codes must then be in the file, up to the sign and
            scale of an output channel, which folding a batch norm moves.

    Raises:
        ValueError: ``blob`` is not a model that can be read.
    """
    graph = read(blob)
    readers = {index: op for op in reversed(graph.ops) for index in op.inputs}
    constants = [(i, t) for i, t in enumerate(graph.tensors) if t.data is not None]
    stored, possible = stored_tables(blob), tables(graph)
    rows = [_row(graph, t, readers.get(i), stored.get(i), possible.get(i)) for i, t in constants]
    distinct = {(t.dtype, np.asarray(t.data).tobytes()): row for row, (_, t) in zip(rows, constants)}  # share a buffer
    if keras_model is None:
        requests = from_metadata(graph)
    else:
        from tflite_export.delivery import from_keras

        requests = from_keras(graph, keras_model)
    failed = [f"{r['layer']}: {r['slot']}: {r['note']}" for r in requests if not r["ok"]]
    problems = (*overdrawn(graph), *failed)
    return Receipt(tuple(rows), tuple(requests), _totals(blob, distinct.values()), problems, tuple(operations(graph)))


def _row(graph: Graph, tensor: Tensor, reader: Op | None, by_table: Lut | None, possible: Lut | None) -> dict[str, Any]:
    codes = np.asarray(tensor.data)
    stored, zeros = pack(codes, tensor.dtype), codes.size - int(np.count_nonzero(codes))
    if by_table:
        stored = by_table.indices + by_table.values
    return {
        "tensor": tensor.name,
        "op": reader.kind if reader else "",
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "bits": tensor.quantization.bits if tensor.quantization else None,
        "true_bits": measures.true_bits(codes, tensor.quantization.low if tensor.quantization else None),
        "distinct": len(np.unique(codes)),
        "elements": codes.size,
        "zeros": zeros,
        "zeros_percent": round(100 * zeros / max(1, codes.size), 2),
        "pattern": measures.pattern(codes) if tensor.quantization else "",
        "raw_bytes": len(stored),
        "entropy_bytes": min(len(stored), measures.entropy_bytes(codes)),
        "zlib_bytes": measures.zlib_bytes(stored),
        "shift_only": _shift_only(graph, tensor, reader),
        "lut_bits": by_table.bits if by_table else None,
        "lut_bytes": possible.size if possible else len(stored),
    }


def _shift_only(graph: Graph, tensor: Tensor, reader: Op | None) -> bool | None:
    """Asked of weights only: the second input of an op with a bias behind it."""
    if reader is None or len(reader.inputs) < 3 or not reader.outputs or graph.tensors[reader.inputs[1]] is not tensor:
        return None
    return measures.shift_only(graph.tensors[reader.inputs[0]], tensor, graph.tensors[reader.outputs[0]])


def _totals(blob: bytes, rows: Collection[Mapping[str, Any]]) -> dict[str, int]:
    sums = {key: sum(row[key] for row in rows) for key in SUMMED}
    return {**sums, "file_bytes": len(blob), "file_zlib_bytes": measures.zlib_bytes(blob)}


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    declared = row["bits"] or row["true_bits"]
    bits = f"{row['true_bits']}" if declared == row["true_bits"] else f"{row['true_bits']} of {declared}"
    zeros = f"{row['zeros_percent']:.1f} %"
    sizes = (f"{row[key]:,}" for key in ("raw_bytes", "entropy_bytes", "zlib_bytes"))
    shape = "x".join(map(str, row["shape"]))
    return (row["tensor"], row["op"], shape, row["dtype"], bits, f"{row['distinct']:,}", zeros, row["pattern"], *sizes)
