"""Which ops of a file need no multiplier, because everything they multiply by is a power of two.

    rescaling   (m, s) = QuantizeMultiplier(ratio of scales) with m = 2**30 exactly: a shift
    weights     every code is 0 or +- a power of two: a shift too

The pairs are those that the kernels of LiteRT derive from the scales in the file, float32 products included.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tflite_export.interpreter.arithmetic import quantize_multiplier
from tflite_export.interpreter.operands import UnsupportedOp
from tflite_export.interpreter.windows import pool_windows
from tflite_export.ir import Graph, Op, Tensor

ONE = 2**30
"""The multiplier of a power of two."""

MOVING = (
    "RESHAPE", "PAD", "PADV2", "MAX_POOL_2D", "CONCATENATION", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SQUEEZE",
    "EXPAND_DIMS", "SPLIT", "PACK", "UNPACK", "MAXIMUM", "MINIMUM", "RESIZE_NEAREST_NEIGHBOR", "GATHER", "SHAPE",
    "TILE", "REVERSE_V2",
)  # fmt: skip
"""Ops that copy or compare codes."""

TABLES = ("LOGISTIC", "TANH", "GELU", "ELU", "EXP")
"""Ops that int8 kernels look up."""

WEIGHTED = {"CONV_2D": (0, 1), "DEPTHWISE_CONV_2D": (0, 1), "FULLY_CONNECTED": (0, 1), "TRANSPOSE_CONV": (2, 1)}
"""Op -> where its feature map and its weight are among its inputs."""


def operations(graph: Graph) -> list[dict[str, Any]]:
    """One record for each op: ``layer``, ``op``, ``shift_only`` (None if not known), ``multiplies`` (why not)."""
    return [_record(graph, op) for op in graph.ops]


def _record(graph: Graph, op: Op) -> dict[str, Any]:
    reason = _reason(graph, op)
    layer = graph.tensors[op.outputs[0]].name if op.outputs else ""
    return {
        "layer": layer,
        "op": op.kind,
        "shift_only": None if reason is None else not reason,
        "multiplies": reason or "",
    }


def _reason(graph: Graph, op: Op) -> str | None:
    """What the op multiplies by; empty if by nothing but powers of two, None if that is not known."""
    tensors = [graph.tensors[t] for t in (*op.inputs, *op.outputs) if t >= 0]
    if op.kind in MOVING:
        return ""
    if any(t.dtype.startswith("float") for t in tensors):
        return "floating point"
    if op.kind in TABLES and tensors[0].dtype == "int8":
        return ""
    if op.kind in ALWAYS:
        return ALWAYS[op.kind]
    if op.kind not in RATIOS or any(t.quantization is None or not _positive(t) for t in _maps(op, tensors)):
        return None
    try:
        found = RATIOS[op.kind](op, tensors)
    except (UnsupportedOp, IndexError):
        return None
    reasons = [name for name, exact in found.items() if not exact]
    return " and ".join(reasons)


def _maps(op: Op, tensors: list[Tensor]) -> list[Tensor]:
    """The operands whose scales enter the op."""
    places = WEIGHTED.get(op.kind, (0, 1) if op.kind in ("ADD", "SUB", "MUL") else (0,))
    return [*(tensors[place] for place in places if place < len(tensors)), tensors[-1]]


def _positive(tensor: Tensor) -> bool:
    return tensor.quantization is not None and bool(np.all(tensor.quantization.scale > 0))


def _scale(tensor: Tensor) -> np.ndarray:
    if tensor.quantization is None:
        raise UnsupportedOp(f"tensor '{tensor.name}' has no scale")
    return tensor.quantization.scale


def is_shift(real: np.ndarray | float) -> bool:
    """Whether every one of the real multipliers becomes ``2**30`` and a shift, or 0, which leaves nothing to shift."""
    return all(quantize_multiplier(float(r))[0] in (ONE, 0) for r in np.ravel(real))


def _weighted(op: Op, tensors: list[Tensor]) -> Mapping[str, bool]:
    x, weight = (tensors[place] for place in WEIGHTED[op.kind])
    real = np.float64(_scale(x)[0]) * _scale(weight).astype(np.float64) / np.float64(_scale(tensors[-1])[0])
    return {"rescaling": is_shift(real), "weights": weight.data is not None and powers_of_two(weight.data)}


def powers_of_two(codes: np.ndarray) -> bool:
    """Whether all ``codes`` are 0 or plus or minus a power of two."""
    sizes = np.abs(np.unique(codes).astype(np.int64))
    return bool(np.all(sizes & (sizes - 1) == 0))


def _sum(op: Op, tensors: list[Tensor]) -> Mapping[str, bool]:
    a, b, y = (_scale(t)[0] for t in (tensors[0], tensors[1], tensors[-1]))
    twice, spare = np.float64(np.float32(2) * max(a, b)), 20 if tensors[-1].dtype == "int8" else 15
    reals = [a / twice, b / twice, twice / np.float64(np.float32(1 << spare) * y)]
    return {"rescaling": is_shift(np.array(reals))}


def _product(op: Op, tensors: list[Tensor]) -> Mapping[str, bool]:
    a, b, y = (_scale(t)[0] for t in (tensors[0], tensors[1], tensors[-1]))
    return {"rescaling": is_shift(a * b / y), "its two operands": False}


def _ratio(op: Op, tensors: list[Tensor]) -> Mapping[str, bool]:
    return {"rescaling": is_shift(np.float64(_scale(tensors[0])[0]) / np.float64(_scale(tensors[-1])[0]))}


def _mean(op: Op, tensors: list[Tensor]) -> Mapping[str, bool]:
    count = int(np.prod(tensors[0].shape)) // max(1, int(np.prod(tensors[-1].shape)))
    return {**_ratio(op, tensors), f"a mean of {count}": count & (count - 1) == 0}


def _average(op: Op, tensors: list[Tensor]) -> Mapping[str, bool]:
    slide = pool_windows(op, tensors[0])
    taps = slide.taps(slide.pad(np.ones((1, *tensors[0].shape[1:3], 1), np.int64), 0))
    counts = np.unique(sum(taps))
    return {f"windows of {', '.join(map(str, counts))}": bool(np.all(counts & (counts - 1) == 0))}


ALWAYS = {
    "SOFTMAX": "exponentials and their sum", "LOGISTIC": "interpolation in a table",
    "TANH": "interpolation in a table", "GELU": "interpolation in a table", "EXP": "interpolation in a table",
    "L2_NORMALIZATION": "the inverse of a length", "HARD_SWISH": "a product with its own input", "PRELU": "its slopes",
    "LEAKY_RELU": "its slope", "BATCH_MATMUL": "its two operands", "RESIZE_BILINEAR": "weights of the neighbours",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "gates times states",
}  # fmt: skip
"""Ops that multiply whatever their scales are."""

RATIOS: dict[str, Callable[[Op, list[Tensor]], Mapping[str, bool]]] = {
    **dict.fromkeys(WEIGHTED, _weighted),
    "ADD": _sum,
    "SUB": _sum,
    "MUL": _product,
    "MEAN": _mean,
    "AVERAGE_POOL_2D": _average,
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"), _ratio),
}
"""Op -> by what it multiplies, and whether that is powers of two."""
