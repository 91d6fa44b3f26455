"""What a constant or a feature map really holds, measured on its integers."""

import zlib
from collections.abc import Sequence

import numpy as np

from tflite_export.ir import Graph, Op, Tensor

GROUPS = (4, 8, 16)
"""Group sizes in which N:M patterns are looked for, as NPUs have them."""

SAME_CODES = ("RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "CONCATENATION", "TRANSPOSE", "STRIDED_SLICE", "SLICE")
"""Ops whose output holds no code outside the range of their inputs'."""


def true_bits(codes: np.ndarray, low: int | None = None) -> int:
    """Smallest width that holds ``codes`` (any shape): two's complement if signed; floats keep theirs.

    Codes of a narrow feature map count from the lowest of the map, ``low``.
    """
    if codes.dtype.kind == "f":
        return 8 * codes.dtype.itemsize
    if not codes.size:
        return 1
    lowest, highest = int(codes.min()), int(codes.max())
    if low is not None and lowest >= low:
        return max(1, (highest - low).bit_length())
    if codes.dtype.kind != "i":
        return max(1, highest.bit_length())
    return 1 + max(highest.bit_length() if highest >= 0 else 0, (-lowest - 1).bit_length() if lowest < 0 else 0)


def entropy_bytes(codes: np.ndarray) -> int:
    """Bytes that an ideal coder of single values needs, ``n H / 8``, plus its table.

    The table has an entry per distinct value: the value and one byte for its probability. A tensor that would grow
    is stored raw, so this is never more than its size in memory.
    """
    values, counts = np.unique(codes, return_counts=True)
    share = counts / max(1, codes.size)
    bits = -float(np.sum(counts * np.log2(share))) if codes.size else 0.0
    table = len(values) * (codes.dtype.itemsize + 1)
    return min(codes.nbytes, int(np.ceil(bits / 8)) + table)


def codebook_size(codes: np.ndarray, axis: int | None) -> int:
    """Values of a codebook in which all ``codes`` are found.

    Each slice along ``axis`` may use the codebook with all signs turned, as folding a batch norm leaves it; None means
    that no slice does. Slices are turned one after the other, so the smallest such codebook may be smaller yet.
    """
    rows = [codes] if axis is None else np.moveaxis(codes, axis, 0)
    book: set[int] = set()
    for values in sorted((set(np.unique(row).tolist()) for row in rows), key=len, reverse=True):
        book |= min(values, {-value for value in values}, key=lambda turned: len(turned - book))
    return len(book)


def zlib_bytes(data: bytes) -> int:
    """Bytes after zlib at its best level."""
    return len(zlib.compress(data, 9))


def pattern(codes: np.ndarray) -> str:
    """The tightest N:M that ``codes`` keep along their last axis, the input channels of a weight; empty if none.

    N:M means at most N non-zeros in each run of M.
    """
    found = []
    for size in GROUPS:
        if codes.ndim > 1 and codes.size and codes.shape[-1] % size == 0:
            most = int(np.count_nonzero(codes.reshape(-1, size), axis=1).max())
            found.append((most / size, size, most))
    share, size, most = min(found, default=(1, 0, 0))
    return f"{most}:{size}" if share < 1 else ""


def shift_only(x: Tensor, weight: Tensor, y: Tensor) -> bool | None:
    """Whether every requantisation multiplier ``s_x s_w / s_y`` is a power of two; None where there are no grids."""
    grids = [t.quantization for t in (x, weight, y)]
    if not all(grids):
        return None
    s_x, s_w, s_y = (grid.scale.astype(np.float64) for grid in grids if grid)
    if not (np.all(s_w > 0) and s_x[0] > 0 and s_y[0] > 0):
        return False
    return bool(np.all(np.frexp(s_x[0] * s_w / s_y[0])[0] == 0.5))


def code_ranges(graph: Graph) -> dict[int, tuple[int, int]]:
    """Lowest and highest code that each integer feature map can hold, as the ops that make it enforce it."""
    ranges: dict[int, tuple[int, int]] = {}
    for index in (*graph.inputs, *(i for op in graph.ops for i in op.outputs)):
        if graph.tensors[index].dtype in ("int8", "uint8", "int16"):
            limits = np.iinfo(graph.tensors[index].dtype)
            ranges[index] = (int(limits.min), int(limits.max))
    for op in graph.ops:
        for index in op.outputs:
            if index in ranges:
                ranges[index] = _narrowed(graph, op, index, ranges)
    return ranges


def _narrowed(graph: Graph, op: Op, output: int, ranges: dict[int, tuple[int, int]]) -> tuple[int, int]:
    low, high = ranges[output]
    inputs = [ranges[i] for i in op.inputs if i in ranges]
    if op.kind in (*SAME_CODES, "PAD") and inputs:
        zero = _code(graph.tensors[output], 0.0)
        ends = [*inputs, (zero, zero)] if op.kind == "PAD" else inputs
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if op.kind == "GATHER" and (table := graph.tensors[op.inputs[0]].data) is not None and table.size:
        low, high = int(table.min()), int(table.max())
    if op.kind == "MAXIMUM":
        low = max([low, *(int(d.min()) for d in _constants(graph, op) if d.size)])
    activation = op.options.get("fused_activation_function", op.kind)
    if activation in ("RELU", "RELU6"):
        low = max(low, _code(graph.tensors[output], 0.0))
    if activation == "RELU6":
        high = min(high, _code(graph.tensors[output], 6.0))
    return low, high


def _constants(graph: Graph, op: Op) -> Sequence[np.ndarray]:
    return [data for i in op.inputs if i >= 0 and (data := graph.tensors[i].data) is not None]


def _code(tensor: Tensor, value: float) -> int:
    """The code of ``value >= 0``; without a usable grid, the end of the type that promises nothing."""
    grid, limits = tensor.quantization, np.iinfo(tensor.dtype)
    if grid is None or not grid.scale[0]:
        return int(limits.max if value else limits.min)
    return int(min(limits.max, np.rint(value / float(grid.scale[0])) + int(grid.zero_point[0])))
