"""Calls of ``keras.ops`` and of operators on tensors, read as calls of the layers that compute the same.

    x + y          ->  Add([x, y])               x * 0.5, x + 3, 1 - x, x / c     ->  Rescaling
    ops.relu(x)    ->  Activation("relu")        ops.reshape, squeeze, flatten    ->  Reshape

So whoever looks at a model meets layers only. Keras keeps the classes of its operations private, and those of some
layers of ``keras.applications``; they are known by their names. What has no such layer stays as it is. The model itself
is left alone, and Values keep their identity.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import activations, layers

from tfcompress.structure.slots import numpy
from tfcompress.structure.trace import Call, Trace, Value

Reading = tuple[keras.layers.Layer, Any]
"""A layer and what it is called with."""


def as_layers(trace: Trace) -> Trace:
    """The same computation, with layers in place of operations where there are any that fit."""
    return Trace(trace.inputs, trace.outputs, tuple(_as_layer(call) for call in trace.calls))


def is_operation(layer: Any) -> bool:
    """Whether ``layer`` is an operation of Keras that is no layer."""
    of_keras = type(layer).__module__.partition(".")[0] == "keras"
    return of_keras and isinstance(layer, keras.Operation) and not isinstance(layer, layers.Layer)


def is_private(layer: Any) -> bool:
    """Whether ``layer`` is one of those that Keras has for ``keras.applications`` only."""
    return type(layer).__module__.startswith("keras.") and ".applications." in type(layer).__module__


def _as_layer(call: Call) -> Call:
    name = type(call.layer).__name__
    if is_private(call.layer) and name in APPLICATIONS:
        return replace(call, layer=APPLICATIONS[name](call.layer), kwargs={})
    if not is_operation(call.layer) or name not in READINGS:
        return call
    bound = inspect.signature(call.layer.call).bind(*call.args, **call.kwargs)
    reading = READINGS[name](call, bound.arguments)
    if reading is None:
        return call
    layer, argument = reading
    return replace(call, layer=layer, args=(argument,), kwargs={})


def _merged(kind: type) -> Callable[[Call, Mapping[str, Any]], Reading | None]:
    """Two tensors of one rank: operators align shapes from the last axis, merging layers from the first."""

    def read(call: Call, given: Mapping[str, Any]) -> Reading | None:
        a, b = given["x1"], given["x2"]
        values = isinstance(a, Value) and isinstance(b, Value)
        return (kind(name=call.layer.name), [a, b]) if values and len(a.shape) == len(b.shape) else None

    return read


def _arithmetic(kind: type | None, right: Callable[[Any], Any], left: Callable[[Any], Any] | None) -> Any:
    """``x1 o x2``: ``kind`` of two tensors; with a constant, the (scale, offset) of ``right(x2)`` or ``left(x1)``."""

    def read(call: Call, given: Mapping[str, Any]) -> Reading | None:
        a, b = given["x1"], given["x2"]
        if isinstance(a, Value) and isinstance(b, Value):
            return _merged(kind)(call, given) if kind else None
        rule, x, constant = (right, a, b) if isinstance(a, Value) else (left, b, a)
        channels = _per_channel(constant, x)
        return None if rule is None or channels is None else (_rescaling(call, *rule(channels)), x)

    return read


def _per_channel(constant: Any, x: Value) -> Any:
    """A constant operand as a number or as an array of one number a channel; None if it is neither."""
    array = np.asarray(keras.ops.convert_to_numpy(constant), np.float64)
    if array.size == 1:
        return array.item()
    along_channels = array.shape[-1] == x.shape[-1] == array.size and array.ndim <= len(x.shape)
    return array.reshape(-1) if along_channels else None


def _rescaling(call: Call, scale: Any, offset: Any) -> layers.Layer:
    numbers = (v.tolist() if isinstance(v, np.ndarray) else v for v in (scale, offset))
    return layers.Rescaling(*numbers, name=call.layer.name)


def _activation(function: Callable[..., Any], attribute: str | None = None, default: Any = None) -> Any:
    """An activation without parameters, or whose one parameter has its default."""

    def read(call: Call, given: Mapping[str, Any]) -> Reading | None:
        plain = attribute is None or getattr(call.layer, attribute) == default
        return (layers.Activation(function, name=call.layer.name), given["x"]) if plain else None

    return read


def _leaky_relu(call: Call, given: Mapping[str, Any]) -> Reading:
    return layers.LeakyReLU(negative_slope=call.layer.negative_slope, name=call.layer.name), given["x"]


def _softmax(call: Call, given: Mapping[str, Any]) -> Reading:
    return layers.Softmax(axis=call.layer.axis, name=call.layer.name), given["x"]


def _clip(call: Call, given: Mapping[str, Any]) -> Reading | None:
    low, high = call.layer.x_min, call.layer.x_max
    return (layers.ReLU(max_value=float(high), name=call.layer.name), given["x"]) if low == 0 < high else None


def _negative(call: Call, given: Mapping[str, Any]) -> Reading:
    return layers.Rescaling(-1.0, name=call.layer.name), given["x"]


def _square(call: Call, given: Mapping[str, Any]) -> Reading:
    return layers.Multiply(name=call.layer.name), [given["x"], given["x"]]


def _concatenate(call: Call, given: Mapping[str, Any]) -> Reading | None:
    values = all(isinstance(x, Value) for x in given["xs"])
    return (layers.Concatenate(axis=call.layer.axis, name=call.layer.name), list(given["xs"])) if values else None


def _reshape(call: Call, given: Mapping[str, Any]) -> Reading | None:
    (y,), x = call.outputs, given["x"]
    whole = y.shape[:1] == x.shape[:1] and None not in y.shape[1:]
    return (layers.Reshape(y.shape[1:], name=call.layer.name), x) if whole else None


def _transpose(call: Call, given: Mapping[str, Any]) -> Reading | None:
    axes = call.layer.axes
    inside = axes is not None and axes[0] == 0 and len(axes) > 1
    return (layers.Permute(tuple(axes[1:]), name=call.layer.name), given["x"]) if inside else None


READINGS: dict[str, Callable[[Call, Mapping[str, Any]], Reading | None]] = {
    "Add": _arithmetic(layers.Add, lambda c: (1.0, c), lambda c: (1.0, c)),
    "Subtract": _arithmetic(layers.Subtract, lambda c: (1.0, -c), lambda c: (-1.0, c)),
    "Multiply": _arithmetic(layers.Multiply, lambda c: (c, 0.0), lambda c: (c, 0.0)),
    "Divide": _arithmetic(None, lambda c: (1 / c, 0.0), None),
    "TrueDivide": _arithmetic(None, lambda c: (1 / c, 0.0), None),
    "Maximum": _merged(layers.Maximum),
    "Minimum": _merged(layers.Minimum),
    "Negative": _negative,
    "Square": _square,
    "Relu": _activation(activations.relu),
    "Relu6": _activation(activations.relu6),
    "Sigmoid": _activation(activations.sigmoid),
    "Tanh": _activation(activations.tanh),
    "Silu": _activation(activations.silu),
    "HardSigmoid": _activation(activations.hard_sigmoid),
    "HardSilu": _activation(activations.hard_silu),
    "HardTanh": _activation(activations.hard_tanh),
    "Elu": _activation(activations.elu, "alpha", 1.0),
    "Gelu": _activation(activations.gelu, "approximate", False),
    "LeakyRelu": _leaky_relu,
    "Softmax": _softmax,
    "Clip": _clip,
    "Concatenate": _concatenate,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
    "Transpose": _transpose,
}
"""Name of the operation's class -> the layer that computes it, or None where none does."""

APPLICATIONS: dict[str, Callable[[Any], layers.Layer]] = {
    "LayerScale": lambda layer: layers.Rescaling(numpy(layer.gamma).astype(float).tolist(), name=layer.name),
    "StochasticDepth": lambda layer: layers.Identity(name=layer.name),
}
"""Name of a private layer's class -> the public layer that computes the same at inference."""
