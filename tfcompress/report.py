"""What a model's weights cost, counted on the values that inference uses.

    delivered     bits of the narrowest integer that holds every code; the float's own width if there is no grid
    bytes         count * delivered / 8, and the codebook if there is one
    coded bytes   what an ideal coder of single values needs: count * entropy / 8, and a table with one entry per
                  distinct value, the value and a byte for its probability; never more than ``bytes``

Scales of a grid are not counted.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.compressed import Compressed, deployed
from tfcompress.grid import Grid
from tfcompress.structure import slots
from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call, trace
from tfcompress.transform import Transform, members

COLUMNS = ("layer", "slot", "shape", "transform", "requested", "delivered", "zeros", "distinct", "bytes", "coded_bytes")


@dataclass(frozen=True)
class Report:
    """One row per layer and slot; printing it gives a table.

    Attributes:
        rows: Dicts with the keys ``COLUMNS``. ``requested`` and ``delivered`` are in bits, ``zeros`` is a share from 0
            to 1, ``distinct`` counts codes (values, without a grid). What does not apply is None: rows of slot
            ``output`` have a grid but no values.
        float_bytes: Size of the same weights without compression.
    """

    rows: list[dict[str, Any]]
    float_bytes: int

    @property
    def bytes(self) -> int:
        """Size of all weights at the delivered bits."""
        return sum(row["bytes"] or 0 for row in self.rows)

    @property
    def coded_bytes(self) -> int:
        """Size of all weights behind an ideal entropy coder."""
        return sum(row["coded_bytes"] or 0 for row in self.rows)

    def __str__(self) -> str:
        lines = [COLUMNS, *([_cell(name, row[name]) for name in COLUMNS] for row in self.rows)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(COLUMNS))]
        table = ["  ".join(_aligned(k, cell, widths[k]) for k, cell in enumerate(line)).rstrip() for line in lines]
        total = (
            f"weights: {self.bytes:,} bytes, {self.coded_bytes:,} entropy-coded; {self.float_bytes:,} uncompressed "
            f"({self.float_bytes / max(self.bytes, 1):.1f} and {self.float_bytes / max(self.coded_bytes, 1):.1f} times "
            "as large)"
        )
        return "\n".join([table[0], "-" * max(map(len, table)), *table[1:], "", total])


def report(model: keras.Model) -> Report:
    """Counts bits, zeros, distinct values and bytes of every weight, as inference uses it.

    Args:
        model: A built Sequential or Functional model, compressed or plain.

    Raises:
        ValueError: The model's graph cannot be read.
    """
    rows: list[dict[str, Any]] = []
    seen: set[int] = set()
    for call in trace(model).calls:
        if isinstance(call.layer, Transform):
            rows.append(_output_row(call))
        elif isinstance(call.layer, keras.layers.Layer) and id(call.layer) not in seen:
            rows += _weight_rows(call)
        seen.add(id(call.layer))
    return Report(rows, sum(row.pop("float_bytes") for row in rows))


def _weight_rows(call: Call) -> Iterator[dict[str, Any]]:
    inner = core(call.layer)
    stored = {id(v) for v in inner.weights}
    transforms = call.layer.transforms if isinstance(call.layer, Compressed) else {}
    for slot, variable in slots.variables(inner).items():
        if id(variable) in stored:
            weight, grid = deployed(call.layer, slot) if slot in transforms else (slots.numpy(variable), None)
            yield _row(call.path, slot, transforms.get(slot), tuple(weight.shape), **_counts(weight, grid))


def _output_row(call: Call) -> dict[str, Any]:
    value = call.outputs[0]
    grid = call.layer.grid(ops.zeros([size or 1 for size in value.shape]))
    bits = np.dtype(value.dtype).itemsize * 8 if grid is None else grid.bits
    return _row(call.inputs[0].name, slots.OUTPUT, call.layer, value.shape, delivered=bits)


def _row(layer: str, slot: str, transform: Transform | None, shape: tuple[int | None, ...], **counts: Any) -> Any:
    parts = [] if transform is None else members(transform)
    names = "+".join(type(part).__name__ for part in parts)
    widths = [bits for part in parts if (bits := part.get_config().get("bits")) is not None]
    row = {"layer": layer, "slot": slot, "shape": shape, "transform": names or None}
    rest = dict.fromkeys(COLUMNS[4:]) | {"float_bytes": 0, "requested": widths[-1] if widths else None}
    return row | rest | counts


def _counts(weight: np.ndarray, grid: Grid | None) -> dict[str, Any]:
    """The figures of one weight; values that are not on the grid they claim count as floats."""
    codes = None if grid is None else grid.encode(weight)
    if grid is None or codes is None or not np.array_equal(grid.decode(codes), weight):
        codes, grid = None, None
    symbols, numbers = np.unique(weight if codes is None else codes, return_counts=True)
    bits = weight.dtype.itemsize * 8 if grid is None else _width(symbols, grid)
    codebook = 0 if grid is None or grid.values is None else 4 * len(grid.values)
    raw = math.ceil(weight.size * bits / 8) + codebook
    entropy = float(np.sum(numbers * np.log2(weight.size / numbers)))
    coded = math.ceil(entropy / 8) + codebook + len(symbols) * (math.ceil(bits / 8) + 1)
    return {
        "delivered": bits,
        "zeros": float(np.mean(weight == 0)),
        "distinct": len(symbols),
        "bytes": raw,
        "coded_bytes": min(coded, raw),
        "float_bytes": weight.nbytes,
    }


def _width(codes: np.ndarray, grid: Grid) -> int:
    """Bits of the narrowest integer, signed like the grid, that holds all ``codes``."""
    signed = grid.values is None and grid.signed
    low, high = int(codes.min()), int(codes.max())
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0, not signed) + signed


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "shape":
        return "x".join("?" if size is None else str(size) for size in value) or "()"
    return f"{value:.1%}" if name == "zeros" else f"{value:,}" if isinstance(value, int) else str(value)


def _aligned(k: int, cell: str, width: int) -> str:
    return cell.ljust(width) if k < 4 else cell.rjust(width)
