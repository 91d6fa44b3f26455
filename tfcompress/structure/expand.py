"""Calls that leave several tensors on the chip, opened into calls that leave one each.

    SeparableConv2D(x)                 ->  Conv2D 1x1 ( DepthwiseConv2D (x) )
    Dense(activation=softmax)(x)       ->  Activation(softmax) ( Dense (x) )        any activation that does not fuse
    Activation(silu)(x)                ->  Multiply([ x, Activation(sigmoid)(x) ])
    Softmax(axis=1)(x)                 ->  Permute ( Softmax ( Permute (x) ) )         UnitNormalization too
    Add([a, b, c])                     ->  Add([ Add([a, b]), c ])              Multiply, Maximum and Minimum too
    Average([a, b])                    ->  Rescaling(1 / 2) ( Add([a, b]) )
    LayerNormalization, ELU            ->  sums, products and one function of one number
    Bidirectional, TimeDistributed     ->  see ``recurrent.py``, and RNN
    Composite layers (``ChannelGate``) ->  the layers that they call
    ChannelSwitch([x, logits])         ->  Multiply([ x, Step (logits) ])

The exporter lowers, and a replay computes, the expanded trace, so that both speak of the same tensors. The new
layers hold copies of the weights and share the transforms; the model itself is left alone. The Values of the
model keep their identity, and the tensors in between are called ``<path>/depthwise``, ``<path>/linear``,
``<path>/sum_<k>`` and the like. Operations on tensors become layers first (``operations.py``).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
from keras import layers

from tfcompress.channel_switch import ChannelSwitch, Step
from tfcompress.composite import Composite, opened
from tfcompress.compressed import Compressed, deployed
from tfcompress.convolution.winograd import WinogradConv2D
from tfcompress.structure import recurrent, slots
from tfcompress.structure.groups import activation_name, core
from tfcompress.structure.operations import as_layers, is_private
from tfcompress.structure.trace import Call, Trace, Value, trace

ACTIVATED = (
    layers.Dense, layers.Conv1D, layers.Conv2D, layers.DepthwiseConv1D, layers.DepthwiseConv2D,
    layers.Conv1DTranspose, layers.Conv2DTranspose, WinogradConv2D,
)  # fmt: skip
"""Layers from which an activation that does not fuse is split off."""


PAIRED = (layers.Add, layers.Multiply, layers.Maximum, layers.Minimum)
"""Layers of any number of tensors that are computed two by two."""

ALONG_AN_AXIS = (layers.Softmax, layers.UnitNormalization)
"""Layers that work along one axis, which is the last in the file format."""

SEPARABLE = {
    layers.SeparableConv1D: (layers.DepthwiseConv1D, layers.Conv1D),
    layers.SeparableConv2D: (layers.DepthwiseConv2D, layers.Conv2D),
}


def expand(traced: Trace) -> Trace:
    """The same computation in calls that leave one tensor each."""
    calls = [small for call in as_layers(traced).calls for small in _expanded(call)]
    return Trace(traced.inputs, traced.outputs, tuple(calls))


def _expanded(call: Call) -> Iterator[Call]:
    rule = _rule(call, core(call.layer))
    if rule is None:
        yield call
        return
    for small in rule(call, core(call.layer)):
        yield from _expanded(small)


def _rule(call: Call, layer: Any) -> Callable[[Call, Any], Iterator[Call]] | None:
    """How to open a call; None if it leaves one tensor."""
    kind = type(layer)
    if isinstance(call.layer, Composite):
        return _composite
    if isinstance(layer, ChannelSwitch):
        return _switch
    if kind in SEPARABLE:
        return _separable
    if kind in PAIRED and len(call.inputs) > 2:
        return _pairwise
    if kind is layers.Average:
        return _average
    if kind in (layers.Bidirectional, layers.TimeDistributed, layers.RNN) and recurrent.opens(call, layer):
        return lambda call, layer: recurrent.opened(call, layer, _filled)
    if kind.__name__ == "CustomScaleLayer" and is_private(layer):
        return _scaled_sum
    if kind in ACTIVATED and activation_name(layer) == "other":
        return _activated
    if kind is layers.Activation:
        return FUNCTIONS.get(layer.activation)
    if kind is layers.ELU:
        return _elu
    if kind is layers.LayerNormalization and _over_last_axis(call, layer):
        return _layer_normalization
    if kind in ALONG_AN_AXIS and len(call.inputs) == 1:
        return _along_an_axis(layer, len(call.inputs[0].shape))
    return None


def _composite(call: Call, layer: Any) -> Iterator[Call]:
    """The calls of the network that the layer stands for."""
    network = trace(opened(layer))
    values = dict(zip((*network.inputs, *network.outputs), (*call.inputs, *call.outputs), strict=True))
    for inner in network.calls:
        if inner.inputs:
            made = {v: replace(v, name=f"{call.path}/{v.name}") for v in inner.outputs if v not in values}
            values.update(made)
            args, kwargs = keras.tree.map_structure(lambda a: values.get(a, a), (inner.args, inner.kwargs))
            outputs = tuple(values[v] for v in inner.outputs)
            yield replace(inner, path=f"{call.path}/{inner.path}", args=args, kwargs=kwargs, outputs=outputs)


def _switch(call: Call, layer: Any) -> Iterator[Call]:
    features, logits = call.inputs
    gates = Value(f"{call.path}/gates", logits.shape, "float32")
    yield replace(_step(call, Step(name=layer.name), logits, gates), path=gates.name)
    yield replace(call, layer=layers.Multiply(name=layer.name), args=([features, gates],), kwargs={})


def _separable(call: Call, layer: Any) -> Iterator[Call]:
    config = layer.get_config()
    windows = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "data_format", "dtype")
    sums = ("filters", "use_bias", "activation", "data_format", "dtype", "name")
    first, second = SEPARABLE[type(layer)]
    depthwise = first(**{key: config[key] for key in windows}, use_bias=False)
    pointwise = second(**{key: config[key] for key in sums}, kernel_size=1)
    (x,) = call.inputs
    between = Value(f"{call.path}/depthwise", depthwise.compute_output_shape(x.shape), x.dtype)
    wide, deep = {"kernel": "depthwise_kernel"}, {"kernel": "pointwise_kernel"}
    depthwise = _filled(depthwise, x.shape, call.layer, wide)
    pointwise = _filled(pointwise, between.shape, call.layer, deep)
    yield replace(call, layer=depthwise, args=(x,), kwargs={}, outputs=(between,), slots=_public(call, wide))
    yield replace(call, layer=pointwise, args=(between,), kwargs={}, slots=_public(call, deep))


def _public(call: Call, names: dict[str, str]) -> dict[str, str]:
    """The slots of the model that those of a part stand for, which are called ``names`` in the layer of ``call``."""
    return {slot: call.slots.get(name, name) for slot, name in names.items()}


def _activated(call: Call, layer: Any) -> Iterator[Call]:
    (x,) = call.inputs
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    linear = _filled(linear, x.shape, call.layer, {})
    between = replace(call.outputs[0], name=f"{call.path}/linear")
    yield replace(call, layer=linear, outputs=(between,))
    activation = layers.Activation(layer.activation, name=layer.name, dtype=layer.dtype_policy)
    yield replace(call, layer=activation, args=(between,), kwargs={})


def _pairwise(call: Call, layer: Any) -> Iterator[Call]:
    total, *rest = call.inputs
    for k, value in enumerate(rest[:-1], 1):
        between = replace(call.outputs[0], name=f"{call.path}/sum_{k}", shape=_broadcast(total.shape, value.shape))
        yield replace(call, args=([total, value],), kwargs={}, outputs=(between,))
        total = between
    yield replace(call, args=([total, rest[-1]],), kwargs={})


def _broadcast(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Shape of two merged tensors; of different ranks, as Keras aligns them: the batch first, then from the back."""
    short, long = sorted((a, b), key=len)
    short = (short[0], *[1] * (len(long) - len(short)), *short[1:])
    return tuple(y if x == 1 else x for x, y in zip(short, long, strict=True))


def _average(call: Call, layer: Any) -> Iterator[Call]:
    total = replace(call.outputs[0], name=f"{call.path}/sum")
    yield replace(call, layer=layers.Add(name=layer.name), outputs=(total,))
    yield _step(call, layers.Rescaling(1 / len(call.inputs), name=layer.name), total)


def _scaled_sum(call: Call, layer: Any) -> Iterator[Call]:
    """``a + scale * b``, as Inception-ResNet has it."""
    a, b = call.inputs
    scaled = replace(b, name=f"{call.path}/scaled")
    yield _step(call, layers.Rescaling(layer.scale, name=layer.name), b, scaled)
    yield replace(call, layer=layers.Add(name=layer.name), args=([a, scaled],), kwargs={})


def _silu(call: Call, layer: Any) -> Iterator[Call]:
    (x,) = call.inputs
    gate = replace(call.outputs[0], name=f"{call.path}/sigmoid")
    yield _step(call, layers.Activation("sigmoid", name=layer.name), x, gate)
    yield replace(call, layer=layers.Multiply(name=layer.name), args=([x, gate],), kwargs={})


def _hard_sigmoid(call: Call, layer: Any) -> Iterator[Call]:
    """``relu6(x + 3) / 6``."""
    (x,) = call.inputs
    moved, clipped = (replace(call.outputs[0], name=f"{call.path}/{part}") for part in ("moved", "clipped"))
    yield _step(call, layers.Rescaling(1.0, 3.0, name=layer.name), x, moved)
    yield _step(call, layers.ReLU(6, name=layer.name), moved, clipped)
    yield _step(call, layers.Rescaling(1 / 6, name=layer.name), clipped)


def _elu(call: Call, layer: Any) -> Iterator[Call]:
    """``relu(x) + alpha * (exp(min(x, 0)) - 1)``: the file format's ELU is not among the reference kernels."""
    (x,) = call.inputs
    alpha = layer.alpha if isinstance(layer, layers.ELU) else 1.0
    names = ("below", "exp", "decay", "above")
    below, growth, decay, above = (replace(call.outputs[0], name=f"{call.path}/{part}") for part in names)
    yield _step(call, layers.ReLU(0, negative_slope=1, name=layer.name), x, below)
    yield _step(call, layers.Activation("exponential", name=layer.name), below, growth)
    yield _step(call, layers.Rescaling(alpha, -alpha, name=layer.name), growth, decay)
    yield _step(call, layers.ReLU(name=layer.name), x, above)
    yield replace(call, layer=layers.Add(name=layer.name), args=([above, decay],), kwargs={})


def _over_last_axis(call: Call, layer: layers.LayerNormalization) -> bool:
    last = len(call.inputs[0].shape) - 1
    axes = [axis % (last + 1) for axis in keras.tree.flatten(layer.axis)]
    return axes == [last] and not getattr(layer, "rms_scaling", False)


def _layer_normalization(call: Call, layer: layers.LayerNormalization) -> Iterator[Call]:
    """``c = x - mean(x)``, then ``c / sqrt(mean(c**2) + epsilon) * gamma + beta``; means by dense layers."""
    (x,), single = call.inputs, (*call.inputs[0].shape[:-1], 1)
    shapes = {"mean": single, "centered": x.shape, "square": x.shape, "variance": single, "inverse": single}
    parts = {name: Value(f"{call.path}/{name}", shape, x.dtype) for name, shape in shapes.items()}
    mean, centered, square, variance, inverse = parts.values()
    yield _mean(call, x, mean, None)
    yield replace(_step(call, layers.Subtract(name=layer.name), x, centered), args=([x, mean],))
    yield replace(_step(call, layers.Multiply(name=layer.name), x, square), args=([centered, centered],))
    yield _mean(call, square, variance, layer.epsilon)
    yield _step(call, layers.Activation(keras.ops.rsqrt, name=layer.name), variance, inverse)
    scale = deployed(call.layer, "gamma")[0].tolist() if layer.scale else 1.0
    offset = deployed(call.layer, "beta")[0].tolist() if layer.center else 0.0
    normal = Value(f"{call.path}/normal", x.shape, x.dtype)
    yield replace(_step(call, layers.Multiply(name=layer.name), x, normal), args=([centered, inverse],))
    yield _step(call, layers.Rescaling(scale, offset, name=layer.name), normal)


def _mean(call: Call, x: Value, y: Value, offset: float | None) -> Call:
    """The mean over the last axis, plus ``offset``."""
    channels = x.shape[-1] or 1
    layer = layers.Dense(1, use_bias=offset is not None, name=call.layer.name)
    layer.build(x.shape)
    layer.kernel.assign([[1 / channels]] * channels)
    if offset is not None:
        layer.bias.assign([offset])
    return replace(_step(call, layer, x, y), path=y.name)


FUNCTIONS = {
    keras.activations.silu: _silu,
    keras.activations.hard_sigmoid: _hard_sigmoid,
    keras.activations.elu: _elu,
}
"""Activations that several layers compute."""


def _along_an_axis(layer: Any, rank: int) -> Callable[[Call, Any], Iterator[Call]] | None:
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
    yield _step(call, swap, x, moved)
    yield _step(call, type(layer)(name=layer.name), moved, shares)
    yield _step(call, swap, shares)


def _joined(call: Call, layer: Any) -> Iterator[Call]:
    """Over the last axes together: one axis before, and again several after."""
    (x,) = call.inputs
    first = min(axis % len(x.shape) for axis in layer.axis)
    shape = (*x.shape[:first], math.prod(size or 1 for size in x.shape[first:]))
    moved, shares = (replace(call.outputs[0], name=f"{call.path}/{part}", shape=shape) for part in ("moved", "shares"))
    yield _step(call, layers.Reshape(shape[1:], name=layer.name), x, moved)
    yield _step(call, type(layer)(name=layer.name), moved, shares)
    yield _step(call, layers.Reshape(x.shape[1:], name=layer.name), shares)


def _step(call: Call, layer: Any, x: Value, y: Value | None = None) -> Call:
    """A part of ``call``: ``layer`` from ``x`` to ``y``, to what the whole call delivers by default."""
    return replace(call, layer=layer, args=(x,), kwargs={}, outputs=(y,) if y else call.outputs)


def _filled(layer: Any, shape: Any, source: Any, names: dict[str, str]) -> Any:
    """``layer`` with weights and transforms of ``source``; ``names`` says which, where a slot is called otherwise."""
    layer.build(shape)
    weights, old = slots.weight_slots(layer), slots.weight_slots(core(source))
    for slot, weight in weights.items():
        weight.assign(old[names.get(slot, slot)])
    transforms = source.transforms if isinstance(source, Compressed) else {}
    transforms = {slot: transforms[names.get(slot, slot)] for slot in weights if names.get(slot, slot) in transforms}
    if not transforms:
        return layer
    wrapper = Compressed(layer, transforms)
    wrapper.build(shape)
    return wrapper
