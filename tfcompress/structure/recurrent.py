"""Wrappers around recurrent layers, opened into calls that leave one tensor each (see ``expand.py``).

    Bidirectional(LSTM)(x)     ->  Concatenate([ LSTM (x), ReverseTime ( LSTM backwards (x) ) ])     or another merge
    TimeDistributed(Dense)(x)  ->  Dense (x)        and other layers that treat all steps alike by themselves

``ReverseTime`` stands only where a whole sequence is wanted, since the backward layer delivers its steps last first.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from keras import layers, ops

from tfcompress.structure import slots
from tfcompress.structure.trace import Call, Value

RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)

ALIKE = (
    layers.Dense, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.Rescaling,
    layers.BatchNormalization, layers.LayerNormalization,
)  # fmt: skip
"""Layers that do to every step of a sequence what they do to a single sample."""

MERGES: dict[str, Callable[[str], Any]] = {
    "concat": lambda name: layers.Concatenate(axis=-1, name=name),
    "sum": lambda name: layers.Add(name=name),
    "mul": lambda name: layers.Multiply(name=name),
    "ave": lambda name: layers.Average(name=name),
}
"""``merge_mode`` of a Bidirectional -> what merges the two directions."""

Filled = Callable[[Any, Any, Any, dict[str, str]], Any]
"""``expand.py``'s way to give a new layer the weights and transforms of another."""


class ReverseTime(layers.Layer):
    """The steps of a sequence (samples, steps, channels), last first."""

    def call(self, x: Any) -> Any:
        """Turns the sequence around."""
        return ops.flip(x, axis=1)


def opens(call: Call, layer: Any) -> bool:
    """Whether `opened` can do it; otherwise the wrapper is what cannot be exported."""
    if len(call.inputs) != 1:
        return False
    if type(layer) is layers.TimeDistributed:
        return type(layer.layer) in ALIKE and getattr(layer.layer, "axis", -1) in (-1, [-1])
    directions = (layer.forward_layer, layer.backward_layer)
    return all(type(d) in RECURRENT and not d.return_state for d in directions)


def opened(call: Call, layer: Any, filled: Filled) -> Iterator[Call]:
    """The calls inside a wrapper."""
    (x,) = call.inputs
    if type(layer) is layers.TimeDistributed:
        yield _part(call, layer.layer, "layer", x, call.outputs[0], filled)
        return
    sides = ("forward_layer", "backward_layer")
    ends = (
        call.outputs if layer.merge_mode is None else [_between(call, getattr(layer, side), side, x) for side in sides]
    )
    for side, end in zip(sides, ends, strict=True):
        turned = side == "backward_layer" and layer.return_sequences
        first = replace(end, name=f"{call.path}/last_first") if turned else end
        yield _part(call, getattr(layer, side), side, x, first, filled)
        if turned:
            yield replace(call, layer=ReverseTime(name=layer.name), args=(first,), kwargs={}, outputs=(end,))
    if layer.merge_mode is not None:
        yield replace(call, layer=MERGES[layer.merge_mode](layer.name), args=(list(ends),), kwargs={})


def _between(call: Call, inner: Any, side: str, x: Value) -> Value:
    """What one direction delivers, steps first to last."""
    return Value(f"{call.path}/{side}", tuple(inner.compute_output_shape(x.shape)), x.dtype)


def _part(call: Call, inner: Any, attribute: str, x: Value, y: Value, filled: Filled) -> Call:
    """The call of a layer inside the wrapper, by itself."""
    twin = type(inner).from_config(inner.get_config())
    names = {slot: f"{attribute}.{slot}" for slot in slots.weight_slots(inner)}
    return replace(
        call, layer=filled(twin, x.shape, call.layer, names), args=(x,), kwargs={}, outputs=(y,), slots=names
    )
