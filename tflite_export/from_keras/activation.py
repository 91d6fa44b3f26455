"""Activations as ops of their own; a pass fuses RELU and RELU6 into the op in front where it can.

elu, silu and hard_sigmoid never come here: ``structure/expand.py`` opens them.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported

LEAKY_SLOPE = 0.2
"""``negative_slope`` of ``keras.activations.leaky_relu``."""

KINDS: dict[Callable[..., Any], tuple[str, dict[str, Any]] | None] = {
    keras.activations.linear: None,
    keras.activations.relu: ("RELU", {}),
    keras.activations.relu6: ("RELU6", {}),
    keras.activations.hard_tanh: ("RELU_N1_TO_1", {}),
    keras.activations.leaky_relu: ("LEAKY_RELU", {"alpha": LEAKY_SLOPE}),
    keras.activations.softmax: ("SOFTMAX", {"beta": 1.0}),
    keras.activations.sigmoid: ("LOGISTIC", {}),
    keras.activations.tanh: ("TANH", {}),
    keras.activations.hard_silu: ("HARD_SWISH", {}),
    keras.activations.gelu: ("GELU", {"approximate": False}),
    keras.activations.exponential: ("EXP", {}),
    keras.ops.rsqrt: ("RSQRT", {}),
}
"""Keras function -> op and its options."""

OTHERS = ("elu", "silu", "hard_sigmoid")
"""Functions that several ops compute."""


def activate(builder: Builder, function: Callable[..., Any], x: int, name: str) -> int:
    """Appends an activation behind ``x``; its result is called ``name``."""
    if function not in KINDS:
        received = getattr(function, "__name__", type(function).__name__)
        known = ", ".join((*(f.__name__ for f in KINDS), *OTHERS))
        raise Unsupported(f"activation '{received}'; supported are {known}")
    known_op = KINDS[function]
    if known_op is None:
        builder.draft.change(x, name=name)
        return x
    kind, options = known_op
    return builder.emit(kind, (x,), name, builder.shape(x), **options)


def activation(builder: Builder, call: Call, x: int) -> int:
    """Activation(function)."""
    function = core(call.layer).activation
    return x if function is keras.activations.linear else activate(builder, function, x, call.outputs[0].name)


def relu(builder: Builder, call: Call, x: int) -> int:
    """ReLU(max_value, negative_slope); what the file format has no op for is clipped by a MINIMUM."""
    layer, name = core(call.layer), call.outputs[0].name
    if layer.threshold:
        raise Unsupported(f"threshold={layer.threshold}; supported is 0, and layers.Rescaling can move the input")
    slope, highest = float(layer.negative_slope or 0), layer.max_value
    if highest == 6 and not slope:
        return activate(builder, keras.activations.relu6, x, name)
    y = x
    if slope != 1:
        kind, options = ("LEAKY_RELU", {"alpha": slope}) if slope else ("RELU", {})
        y = builder.emit(kind, (x,), name if highest is None else f"{name}/rectified", builder.shape(x), **options)
    if highest is None:
        return y
    bound = builder.constant(f"{name}/max_value", np.full([1] * len(builder.shape(x)), highest, np.float32))
    return builder.emit("MINIMUM", (y, bound), name, builder.shape(x))


def leaky_relu(builder: Builder, call: Call, x: int) -> int:
    """LeakyReLU(negative_slope)."""
    slope = float(core(call.layer).negative_slope)
    return builder.emit("LEAKY_RELU", (x,), call.outputs[0].name, builder.shape(x), alpha=slope)


def prelu(builder: Builder, call: Call, x: int) -> int:
    """PReLU(shared_axes): the slopes broadcast."""
    slopes = builder.weight(call, "alpha", 0, lambda alpha: alpha[None])
    grid = builder.draft.tensors[slopes].quantization
    if grid is not None and len(grid.scale) > 1:
        raise Unsupported("slopes with several scales, and TFLite has one: use a transform with axis=()")
    if len(builder.shape(x)) > 4:
        raise Unsupported(f"an input of {len(builder.shape(x))} dimensions; supported are at most 4")
    return builder.emit("PRELU", (x, slopes), call.outputs[0].name, builder.shape(x))


def gelu_operation(builder: Builder, call: Call, x: int) -> int:
    """ops.gelu(x), by default the approximation."""
    return builder.emit("GELU", (x,), call.outputs[0].name, builder.shape(x), approximate=bool(call.layer.approximate))


def softmax(builder: Builder, call: Call, x: int) -> int:
    """Softmax over the last axis; ``structure/expand.py`` brings others there."""
    axis = core(call.layer).axis
    if axis not in (-1, len(builder.shape(x)) - 1):
        raise Unsupported(f"axis={axis}; supported are one axis, or the last ones, but not the batch")
    return activate(builder, keras.activations.softmax, x, call.outputs[0].name)
