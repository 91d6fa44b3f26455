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

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
from keras import layers

from tfcompress.channel_switch import ChannelSwitch, Step
from tfcompress.composite import Composite, opened
from tfcompress.compressed import Compressed
from tfcompress.convolution.winograd import WinogradConv2D
from tfcompress.structure import recurrent, slots
from tfcompress.structure.formulas import FUNCTIONS, along_an_axis, elu, layer_normalization, over_last_axis, step
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
        return elu
    if kind is layers.LayerNormalization and over_last_axis(call, layer):
        return layer_normalization
    if kind in ALONG_AN_AXIS and len(call.inputs) == 1:
        return along_an_axis(layer, len(call.inputs[0].shape))
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
    yield replace(step(call, Step(name=layer.name), logits, gates), path=gates.name)
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
    yield step(call, layers.Rescaling(1 / len(call.inputs), name=layer.name), total)


def _scaled_sum(call: Call, layer: Any) -> Iterator[Call]:
    """``a + scale * b``, as Inception-ResNet has it."""
    a, b = call.inputs
    scaled = replace(b, name=f"{call.path}/scaled")
    yield step(call, layers.Rescaling(layer.scale, name=layer.name), b, scaled)
    yield replace(call, layer=layers.Add(name=layer.name), args=([a, scaled],), kwargs={})


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
