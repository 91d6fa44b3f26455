"""The graph that every stage of the export shares, and nothing else does: tensors, ops, graph.

Tensors are known by their index in ``Graph.tensors``, as in a TFLite file; ops are in execution order.
A *float graph* has float32 tensors whose ``quantization`` says on which integers the values must lie;
the ``quantize`` pass turns it into an *integer graph* whose constants hold the codes. All dataclasses
are frozen: a pass builds a new graph. Op kinds and option names are those of the TFLite schema, in
snake case (``CONV_2D``, ``stride_h``), enums are their names (``"SAME"``, ``"RELU6"``).

This module knows neither Keras nor the flatbuffer schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STORAGE = {
    "float32": np.float32, "float16": np.float16, "int8": np.int8, "int16": np.int16, "int32": np.int32,
    "int64": np.int64, "uint8": np.uint8, "bool": np.bool_, "int4": np.int8, "int2": np.int8,
}  # fmt: skip
"""NumPy type in which each TFLite type is held; ``int4`` and ``int2`` are unpacked, one value an element."""


@dataclass(frozen=True, eq=False)
class Quantization:
    """``real = (code - zero_point) * scale``, per tensor or per slice along ``axis``.

    Attributes:
        scale: float32, shape (1,) or (channels,).
        zero_point: int64, same shape.
        axis: The tensor axis that ``scale`` runs along; 0 if per tensor.
        bits: True width of the codes in bits, at most that of the stored type.
        low: Lowest code that may occur (a narrower map lives in a part of int8), or None for the type's.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int = 0
    bits: int = 8
    low: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantization) and _same(self, other)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of fixed shape; ``data`` holds the value of a constant, ``STORAGE[dtype]`` typed."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: np.ndarray | None = None
    is_variable: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tensor) and _same(self, other)


@dataclass(frozen=True)
class Op:
    """One operator. ``inputs`` and ``outputs`` are tensor indices, -1 stands for an absent optional input.

    ``intermediates`` are tensors that hold no value, but grids that the op works on inside (LSTM). An input that
    ``is_variable`` is state: the op changes it, and it stays from run to run.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Tensors, ops in execution order, and which tensors go in and come out.

    Attributes:
        signature: ``(key, {argument: tensor index}, {result: tensor index})`` of the one signature, or None.
        metadata: Named blobs that travel with the file and that kernels ignore.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signature: tuple[str, Mapping[str, int], Mapping[str, int]] | None = None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    description: str = ""


def _same(a: Any, b: Any) -> bool:
    return all(_equal(x, vars(b)[name]) for name, x in vars(a).items())


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    return type(x) is type(y) and bool(x == y)
