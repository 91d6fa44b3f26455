"""Layers that merge several tensors: Add (of two; more were expanded into pairs) and Concatenate."""

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder, static
from tflite_export.from_keras.grids import Unsupported


def add(builder: Builder, call: Call, *inputs: int) -> int:
    """Add([a, b]) of two tensors of one shape."""
    shapes = {builder.shape(x) for x in inputs}
    if len(inputs) != 2 or len(shapes) != 1:
        raise Unsupported(f"inputs of the shapes {sorted(shapes)}; supported are two or more of one shape")
    (shape,) = shapes
    return builder.emit("ADD", inputs, call.outputs[0].name, shape, fused_activation_function="NONE")


def concatenate(builder: Builder, call: Call, *inputs: int) -> int:
    """Concatenate along any axis but the batch."""
    (value,) = call.outputs
    axis = core(call.layer).axis % len(value.shape)
    if axis == 0:
        raise Unsupported("axis=0, the batch; supported is every other axis")
    return builder.emit("CONCATENATION", inputs, value.name, static(value.shape), axis=axis)
