"""Calls that leave several tensors on the chip, opened into calls that leave one each.

    SeparableConv2D(x)                 ->  Conv2D 1x1 ( DepthwiseConv2D (x) )
    Dense(activation=softmax)(x)       ->  Activation(softmax) ( Dense (x) )        any activation that does not fuse
    Add([a, b, c])                     ->  Add([ Add([a, b]), c ])

The exporter lowers, and a replay computes, the expanded trace, so that both speak of the same tensors. The new
layers hold copies of the weights and share the transforms; the model itself is left alone. The Values of the
model keep their identity, and the tensors in between are called ``<path>/depthwise``, ``<path>/linear``,
``<path>/sum_<k>``.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from keras import layers

from tfcompress.compressed import Compressed
from tfcompress.structure import slots
from tfcompress.structure.groups import activation_name, core
from tfcompress.structure.trace import Call, Trace, Value

ACTIVATED = (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)
"""Layers from which an activation that does not fuse is split off."""


def expand(trace: Trace) -> Trace:
    """The same computation in calls that leave one tensor each."""
    calls = [small for call in trace.calls for small in _expanded(call)]
    return Trace(trace.inputs, trace.outputs, tuple(calls))


def _expanded(call: Call) -> Iterator[Call]:
    layer = core(call.layer)
    if type(layer) is layers.SeparableConv2D:
        for small in _separable(call, layer):
            yield from _expanded(small)
    elif type(layer) is layers.Add and len(call.inputs) > 2:
        yield from _pairwise(call)
    elif type(layer) in ACTIVATED and activation_name(layer) == "other":
        yield from _activated(call, layer)
    else:
        yield call


def _separable(call: Call, layer: layers.SeparableConv2D) -> Iterator[Call]:
    config = layer.get_config()
    windows = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "data_format", "dtype")
    sums = ("filters", "use_bias", "activation", "data_format", "dtype", "name")
    depthwise = layers.DepthwiseConv2D(**{key: config[key] for key in windows}, use_bias=False)
    pointwise = layers.Conv2D(**{key: config[key] for key in sums}, kernel_size=1)
    (x,) = call.inputs
    between = Value(f"{call.path}/depthwise", depthwise.compute_output_shape(x.shape), x.dtype)
    first, second = {"kernel": "depthwise_kernel"}, {"kernel": "pointwise_kernel"}
    depthwise = _filled(depthwise, x.shape, call.layer, first)
    pointwise = _filled(pointwise, between.shape, call.layer, second)
    yield replace(call, layer=depthwise, args=(x,), kwargs={}, outputs=(between,), slots=first)
    yield replace(call, layer=pointwise, args=(between,), kwargs={}, slots=second)


def _activated(call: Call, layer: Any) -> Iterator[Call]:
    (x,) = call.inputs
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    linear = _filled(linear, x.shape, call.layer, {})
    between = replace(call.outputs[0], name=f"{call.path}/linear")
    yield replace(call, layer=linear, outputs=(between,))
    activation = layers.Activation(layer.activation, name=layer.name, dtype=layer.dtype_policy)
    yield replace(call, layer=activation, args=(between,), kwargs={})


def _pairwise(call: Call) -> Iterator[Call]:
    total, *rest = call.inputs
    for k, value in enumerate(rest[:-1], 1):
        between = replace(call.outputs[0], name=f"{call.path}/sum_{k}")
        yield replace(call, args=([total, value],), kwargs={}, outputs=(between,))
        total = between
    yield replace(call, args=([total, rest[-1]],), kwargs={})


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
