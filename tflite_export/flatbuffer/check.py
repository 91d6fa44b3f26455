"""What must hold of every graph that is read or written, whoever made it."""

import math
from collections.abc import Sequence

import numpy as np

from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.flatbuffer.packing import width
from tflite_export.ir import STORAGE, Graph, Quantization, Tensor

MAX_RANK = 8
"""Most dimensions of a tensor; no kernel of the runtime takes more."""

MAX_ELEMENTS = 2**31 - 1
"""Most elements of a tensor, since the runtime counts them in an int32."""


def check(graph: Graph) -> None:
    """Checks tensors, grids, and that every op finds its inputs ready.

    Raises:
        InvalidModel: Says which tensor or op is wrong, and how.
    """
    for tensor in graph.tensors:
        check_shape(tensor.name, tensor.shape)
        _check_data(tensor)
        if tensor.quantization is not None:
            _check_grid(tensor, tensor.quantization)
    _check_flow(graph)


def check_shape(name: str, shape: Sequence[int]) -> None:
    """Fixed, non-negative and not absurdly large."""
    if len(shape) > MAX_RANK or any(d < 0 for d in shape) or math.prod(shape) > MAX_ELEMENTS:
        text = ", ".join(map(str, shape[: MAX_RANK + 1]))
        raise InvalidModel(
            f"Tensor '{name}' must have a fixed shape of at most {MAX_RANK} dimensions and 2**31 elements. "
            f"Received: ({text}). Export with a fixed batch size."
        )


def _check_data(tensor: Tensor) -> None:
    if tensor.dtype not in STORAGE:
        raise InvalidModel(f"Tensor '{tensor.name}' has type {tensor.dtype}; supported are {', '.join(STORAGE)}.")
    data = tensor.data
    if data is None:
        return
    if data.shape != tuple(tensor.shape) or data.dtype != STORAGE[tensor.dtype]:
        raise InvalidModel(
            f"Tensor '{tensor.name}' is {tensor.dtype}{list(tensor.shape)}. Received: {data.dtype}{list(data.shape)}"
        )
    bits = width(tensor.dtype)
    if bits < 8 and data.size and (data.min() < -(2 ** (bits - 1)) or data.max() >= 2 ** (bits - 1)):
        raise InvalidModel(f"Tensor '{tensor.name}': codes {data.min()} to {data.max()} do not fit {tensor.dtype}.")


def _check_grid(tensor: Tensor, grid: Quantization) -> None:
    name, count, axis = tensor.name, grid.scale.size, grid.axis
    if not 0 <= axis < max(1, len(tensor.shape)):
        raise InvalidModel(f"Tensor '{name}' of {len(tensor.shape)} dimensions is quantised along axis {axis}.")
    if count != 1 and (not tensor.shape or count != tensor.shape[axis]):
        raise InvalidModel(f"Tensor '{name}' {list(tensor.shape)} has {count} scales along axis {axis}.")
    if grid.scale.ndim != 1 or grid.zero_point.shape != grid.scale.shape:
        raise InvalidModel(f"Tensor '{name}' has {count} scales but {grid.zero_point.size} zero points.")
    if grid.scale.dtype != np.float32 or grid.zero_point.dtype != np.int64:
        types = f"{grid.scale.dtype} and {grid.zero_point.dtype}"
        raise InvalidModel(f"Tensor '{name}': scales are float32 and zero points int64. Received: {types}")
    if not np.all(np.isfinite(grid.scale) & (grid.scale >= 0)):
        raise InvalidModel(f"Tensor '{name}' has a scale that is negative or not finite.")
    low, high = _limits(tensor.dtype)
    if grid.zero_point.min() < low or grid.zero_point.max() > high:
        raise InvalidModel(f"Tensor '{name}' has a zero point outside {tensor.dtype}.")
    if not 1 <= grid.bits <= width(tensor.dtype) or not low <= (grid.low or 0) <= high:
        raise InvalidModel(f"Tensor '{name}', {tensor.dtype}, cannot have {grid.bits} bits from {grid.low}.")


def _limits(dtype: str) -> tuple[int, int]:
    """Range of the codes; a float tensor may lie on any grid of an integer type."""
    if dtype in ("float32", "float16", "bool"):
        return -(2**31), 2**31 - 1
    bits = width(dtype)
    return (0, 2**bits - 1) if dtype == "uint8" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _check_flow(graph: Graph) -> None:
    tensors = graph.tensors
    for index in (*graph.inputs, *graph.outputs):
        _check_index("The model", index, tensors)
    ready = [t.data is not None or t.is_variable for t in tensors]
    for index in graph.inputs:
        if tensors[index].data is not None:
            raise InvalidModel(f"Tensor '{tensors[index].name}' is an input of the model and a constant.")
        ready[index] = True
    for number, op in enumerate(graph.ops):
        where = f"Op {number} ({op.kind})"
        for index in op.inputs:
            if index != -1 and not ready[_check_index(where, index, tensors)]:
                raise InvalidModel(f"{where} reads tensor '{tensors[index].name}' before any op has made it.")
        for index in op.outputs:
            if ready[_check_index(where, index, tensors)]:
                raise InvalidModel(f"{where} writes tensor '{tensors[index].name}', which has its value already.")
            ready[index] = True
        for index in op.intermediates:
            _check_index(where, index, tensors)
    for index in graph.outputs:
        if not ready[index]:
            raise InvalidModel(f"Output '{tensors[index].name}' of the model is made by no op.")
    for index in _signature_indices(graph):
        _check_index("The signature", index, tensors)


def _signature_indices(graph: Graph) -> list[int]:
    return [*graph.signature[1].values(), *graph.signature[2].values()] if graph.signature else []


def _check_index(where: str, index: int, tensors: Sequence[Tensor]) -> int:
    if not 0 <= index < len(tensors):
        raise InvalidModel(f"{where} refers to tensor {index}, but there are {len(tensors)} tensors.")
    return index
