"""Layers that merge tensors: two by an element-wise op with broadcasting (more were expanded), any by Concatenate."""

from collections.abc import Callable
from typing import Any

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.shapes import reshape_to

MOST_AXES = 4
"""Dimensions of tensors that every kernel broadcasts."""


def elementwise(kind: str, **options: Any) -> Callable[..., int]:
    """The lowering of a layer on two tensors by the op ``kind``."""

    def lowering(builder: Builder, call: Call, *inputs: int) -> int:
        (value,) = call.outputs
        shape = builder.static(value.shape)
        if len(inputs) != 2:
            raise Unsupported(f"{len(inputs)} inputs; supported are two or more")
        aligned = tuple(_aligned(builder, x, len(shape), value.name) for x in inputs)
        if len(shape) > MOST_AXES and any(builder.shape(x) != shape for x in aligned):
            raise Unsupported(f"inputs of {len(shape)} dimensions that broadcast; supported are at most {MOST_AXES}")
        return builder.emit(kind, aligned, value.name, shape, **options)

    return lowering


def _aligned(builder: Builder, x: int, rank: int, name: str) -> int:
    """``x`` with as many dimensions as the result: Keras inserts new ones behind the batch."""
    shape = builder.shape(x)
    if len(shape) == rank:
        return x
    return reshape_to(builder, x, f"{name}/aligned", (shape[0], *[1] * (rank - len(shape)), *shape[1:]))


add = elementwise("ADD", fused_activation_function="NONE")
subtract = elementwise("SUB", fused_activation_function="NONE")
multiply = elementwise("MUL", fused_activation_function="NONE")
maximum, minimum = elementwise("MAXIMUM"), elementwise("MINIMUM")


def concatenate(builder: Builder, call: Call, *inputs: int) -> int:
    """Concatenate along any axis but the batch."""
    (value,) = call.outputs
    axis = core(call.layer).axis % len(value.shape)
    if axis == 0:
        raise Unsupported("axis=0, the batch; supported is every other axis")
    return builder.emit("CONCATENATION", inputs, value.name, builder.static(value.shape), axis=axis)
