"""Functions that no single operation computes, as layers that leave one tensor each: ``expand.py`` says which.

Each takes a call and its layer, and yields the calls that compute the same.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
from keras import layers

from tfcompress.compressed import deployed
from tfcompress.structure.trace import Call, Value


def step(call: Call, layer: Any, x: Value, y: Value | None = None) -> Call:
    """A part of ``call``: ``layer`` from ``x`` to ``y``, to what the whole call delivers by default."""
    return replace(call, layer=layer, args=(x,), kwargs={}, outputs=(y,) if y else call.outputs)


def silu(call: Call, layer: Any) -> Iterator[Call]:
    """``x * sigmoid(x)``."""
    (x,) = call.inputs
    gate = replace(call.outputs[0], name=f"{call.path}/sigmoid")
    yield step(call, layers.Activation("sigmoid", name=layer.name), x, gate)
    yield replace(call, layer=layers.Multiply(name=layer.name), args=([x, gate],), kwargs={})


def hard_sigmoid(call: Call, layer: Any) -> Iterator[Call]:
    """``relu6(x + 3) / 6``."""
    (x,) = call.inputs
    moved, clipped = (replace(call.outputs[0], name=f"{call.path}/{part}") for part in ("moved", "clipped"))
    yield step(call, layers.Rescaling(1.0, 3.0, name=layer.name), x, moved)
    yield step(call, layers.ReLU(6, name=layer.name), moved, clipped)
    yield step(call, layers.Rescaling(1 / 6, name=layer.name), clipped)


def elu(call: Call, layer: Any) -> Iterator[Call]:
    """``relu(x) + alpha * (exp(min(x, 0)) - 1)``: the file format's ELU is not among the reference kernels."""
    (x,) = call.inputs
    alpha = layer.alpha if isinstance(layer, layers.ELU) else 1.0
    names = ("below", "exp", "decay", "above")
    below, growth, decay, above = (replace(call.outputs[0], name=f"{call.path}/{part}") for part in names)
    yield step(call, layers.ReLU(0, negative_slope=1, name=layer.name), x, below)
    yield step(call, layers.Activation("exponential", name=layer.name), below, growth)
    yield step(call, layers.Rescaling(alpha, -alpha, name=layer.name), growth, decay)
    yield step(call, layers.ReLU(name=layer.name), x, above)
    yield replace(call, layer=layers.Add(name=layer.name), args=([above, decay],), kwargs={})


def over_last_axis(call: Call, layer: layers.LayerNormalization) -> bool:
    """Whether it is the usual one, with a mean, along the last axis alone."""
    last = len(call.inputs[0].shape) - 1
    axes = [axis % (last + 1) for axis in keras.tree.flatten(layer.axis)]
    return axes == [last] and not getattr(layer, "rms_scaling", False)


def layer_normalization(call: Call, layer: layers.LayerNormalization) -> Iterator[Call]:
    """``c = x - mean(x)``, then ``c / sqrt(mean(c**2) + epsilon) * gamma + beta``; means by dense layers."""
    (x,), single = call.inputs, (*call.inputs[0].shape[:-1], 1)
    shapes = {"mean": single, "centered": x.shape, "square": x.shape, "variance": single, "inverse": single}
    parts = {name: Value(f"{call.path}/{name}", shape, x.dtype) for name, shape in shapes.items()}
    mean, centered, square, variance, inverse = parts.values()
    yield _mean(call, x, mean, None)
    yield replace(step(call, layers.Subtract(name=layer.name), x, centered), args=([x, mean],))
    yield replace(step(call, layers.Multiply(name=layer.name), x, square), args=([centered, centered],))
    yield _mean(call, square, variance, layer.epsilon)
    yield step(call, layers.Activation(keras.ops.rsqrt, name=layer.name), variance, inverse)
    scale = deployed(call.layer, "gamma")[0].tolist() if layer.scale else 1.0
    offset = deployed(call.layer, "beta")[0].tolist() if layer.center else 0.0
    normal = Value(f"{call.path}/normal", x.shape, x.dtype)
    yield replace(step(call, layers.Multiply(name=layer.name), x, normal), args=([centered, inverse],))
    yield step(call, layers.Rescaling(scale, offset, name=layer.name), normal)


def _mean(call: Call, x: Value, y: Value, offset: float | None) -> Call:
    """The mean over the last axis, plus ``offset``."""
    channels = x.shape[-1] or 1
    layer = layers.Dense(1, use_bias=offset is not None, name=call.layer.name)
    layer.build(x.shape)
    layer.kernel.assign([[1 / channels]] * channels)
    if offset is not None:
        layer.bias.assign([offset])
    return replace(step(call, layer, x, y), path=y.name)


FUNCTIONS = {
    keras.activations.silu: silu,
    keras.activations.hard_sigmoid: hard_sigmoid,
    keras.activations.elu: elu,
}
"""Activations that several layers compute."""


def along_an_axis(layer: Any, rank: int) -> Callable[[Call, Any], Iterator[Call]] | None:
    """How to bring the axis of a layer to the end; None if it is there, or cannot be brought."""
    axes = sorted(axis % rank for axis in keras.tree.flatten(layer.axis))
    if axes in ([0], [rank - 1]):
        return None
    if len(axes) == 1:
        return _swapped
    return _joined if axes == list(range(axes[0], rank)) and axes[0] > 0 else None


def _swapped(call: Call, layer: Any) -> Iterator[Call]:
    """Over another axis than the last: swapped with the last before and after."""
    (x,) = call.inputs
    (axis,), order = keras.tree.flatten(layer.axis), list(range(len(x.shape)))
    order[axis], order[-1] = order[-1], order[axis]
    shape = tuple(x.shape[k] for k in order)
    moved, shares = (replace(call.outputs[0], name=f"{call.path}/{part}", shape=shape) for part in ("moved", "shares"))
    swap = layers.Permute(order[1:], name=layer.name)
    yield step(call, swap, x, moved)
    yield step(call, type(layer)(name=layer.name), moved, shares)
    yield step(call, swap, shares)


def _joined(call: Call, layer: Any) -> Iterator[Call]:
    """Over the last axes together: one axis before, and again several after."""
    (x,) = call.inputs
    first = min(axis % len(x.shape) for axis in layer.axis)
    shape = (*x.shape[:first], math.prod(size or 1 for size in x.shape[first:]))
    moved, shares = (replace(call.outputs[0], name=f"{call.path}/{part}", shape=shape) for part in ("moved", "shares"))
    yield step(call, layers.Reshape(shape[1:], name=layer.name), x, moved)
    yield step(call, type(layer)(name=layer.name), moved, shares)
    yield step(call, layers.Reshape(x.shape[1:], name=layer.name), shares)
