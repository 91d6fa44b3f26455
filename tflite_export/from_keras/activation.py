"""Activations: RELU, RELU6 and SOFTMAX as ops of their own; a pass fuses the first two where it can."""

from collections.abc import Callable
from typing import Any

import keras

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported

KINDS = {
    keras.activations.linear: None,
    keras.activations.relu: "RELU",
    keras.activations.relu6: "RELU6",
    keras.activations.softmax: "SOFTMAX",
}
"""Keras function -> op."""


def activate(builder: Builder, function: Callable[..., Any], x: int, name: str) -> int:
    """Appends an activation behind ``x``; its result is called ``name``."""
    if function not in KINDS:
        received = getattr(function, "__name__", type(function).__name__)
        raise Unsupported(f"activation '{received}'; supported are {', '.join(f.__name__ for f in KINDS)}")
    kind = KINDS[function]
    if kind is None:
        builder.draft.change(x, name=name)
        return x
    options = {"beta": 1.0} if kind == "SOFTMAX" else {}
    return builder.emit(kind, (x,), name, builder.shape(x), **options)


def activation(builder: Builder, call: Call, x: int) -> int:
    """Activation(function)."""
    function = core(call.layer).activation
    return x if function is keras.activations.linear else activate(builder, function, x, call.outputs[0].name)


def relu(builder: Builder, call: Call, x: int) -> int:
    """ReLU(), ReLU(max_value=6)."""
    layer = core(call.layer)
    functions = {None: keras.activations.relu, 6: keras.activations.relu6}
    if layer.negative_slope or layer.threshold or layer.max_value not in functions:
        raise Unsupported(
            f"max_value={layer.max_value}, negative_slope={layer.negative_slope}, threshold={layer.threshold}; "
            "supported are max_value=None and max_value=6 with negative_slope=0 and threshold=0"
        )
    return activate(builder, functions[layer.max_value], x, call.outputs[0].name)


def softmax(builder: Builder, call: Call, x: int) -> int:
    """Softmax over the last axis."""
    axis = core(call.layer).axis
    if axis not in (-1, len(builder.shape(x)) - 1):
        raise Unsupported(f"axis={axis}; supported is the last axis, -1")
    return activate(builder, keras.activations.softmax, x, call.outputs[0].name)
