"""Wrappers around layers over time, opened into calls that leave one tensor each (see ``expand.py``).

    Bidirectional(LSTM)(x)     ->  Concatenate([ LSTM (x), ReverseTime ( LSTM backwards (x) ) ])     or another merge
    TimeDistributed(Dense)(x)  ->  Dense (x)        and other layers that treat all steps alike by themselves
    TimeDistributed(Conv2D)    ->  UnfoldTime ( Conv2D ( FoldTime (x) ) )        and any other layer, or a model
    RNN(LSTMCell)(x)           ->  LSTM (x)
    RNN([a, b])(x)             ->  layer of b ( layer of a, all steps (x) )

``ReverseTime`` stands only where a whole sequence is wanted, since the backward layer delivers its steps last first.
``FoldTime`` makes each step a sample.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
from keras import layers, ops

from tfcompress.structure import slots
from tfcompress.structure.operations import as_layers
from tfcompress.structure.trace import Call, Value, trace

CELLS = {layers.LSTMCell: layers.LSTM, layers.GRUCell: layers.GRU, layers.SimpleRNNCell: layers.SimpleRNN}
"""Kind of cell -> the layer that runs one."""

RECURRENT = (*CELLS.values(), layers.RNN)

ALIKE = (
    layers.Dense, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.Rescaling,
    layers.BatchNormalization, layers.LayerNormalization, layers.Embedding,
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


class FoldTime(layers.Layer):
    """The steps of sequences (samples, steps, ...) as samples of their own."""

    def call(self, x: Any) -> Any:
        """Joins the first two axes."""
        return ops.reshape(x, (-1, *x.shape[2:]))


class UnfoldTime(layers.Layer):
    """Sequences of so many steps out of samples."""

    def __init__(self, steps: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, x: Any) -> Any:
        """Parts the first axis."""
        return ops.reshape(x, (-1, self.steps, *x.shape[1:]))


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
        return call.inputs[0].shape[1] is not None
    if type(layer) is layers.RNN:
        return not layer.return_state and all(type(cell) in CELLS for cell in _cells(layer).values())
    directions = (layer.forward_layer, layer.backward_layer)
    return all(type(d) in RECURRENT and not d.return_state for d in directions)


def opened(call: Call, layer: Any, filled: Filled) -> Iterator[Call]:
    """The calls inside a wrapper."""
    rules = {layers.TimeDistributed: _time_distributed, layers.RNN: _stacked, layers.Bidirectional: _bidirectional}
    return rules[type(layer)](call, layer, filled)


def _time_distributed(call: Call, layer: Any, filled: Filled) -> Iterator[Call]:
    (x,), (y,), inner = call.inputs, call.outputs, layer.layer
    if type(inner) in ALIKE and getattr(inner, "axis", -1) in (-1, [-1]):
        yield _part(call, inner, "layer", x, y, filled)
        return
    before, after = (
        Value(f"{y.name}/{name}", (None, *v.shape[2:]), v.dtype) for name, v in (("steps", x), ("each", y))
    )
    yield replace(call, layer=FoldTime(name=layer.name), args=(x,), kwargs={}, outputs=(before,))
    if isinstance(inner, keras.Model):
        yield from _network(call, inner, before, after, filled)
    else:
        yield _part(call, inner, "layer", before, after, filled)
    yield replace(call, layer=UnfoldTime(x.shape[1] or 1, name=layer.name), args=(after,), kwargs={}, outputs=(y,))


def _network(call: Call, model: keras.Model, x: Value, y: Value, filled: Filled) -> Iterator[Call]:
    """The calls of a model inside the wrapper, from ``x`` to ``y``."""
    network = as_layers(trace(model))
    values = dict(zip((*network.inputs, *network.outputs), (x, y), strict=True))
    for inner in (inner for inner in network.calls if inner.inputs):
        made = {v: replace(v, name=f"{call.path}/{v.name}") for v in inner.outputs if v not in values}
        values.update(made)
        args, kwargs = keras.tree.map_structure(lambda a: values.get(a, a), (inner.args, inner.kwargs))
        outputs = tuple(values[v] for v in inner.outputs)
        attribute = f"layer.{inner.path.partition('#')[0].replace('/', '.')}"
        path, own = f"{call.path}/{inner.path}", inner.layer
        if any(slot.startswith(f"{attribute}.") for slot in getattr(call.layer, "transforms", ())):
            own = _part(call, own, attribute, inner.inputs[0], y, filled).layer
        yield Call(own, path, args, kwargs, outputs)


def _stacked(call: Call, layer: Any, filled: Filled) -> Iterator[Call]:
    """One layer for each cell; all but the last deliver whole sequences, and only the first may go backwards."""
    (x,), cells = call.inputs, _cells(layer)
    for k, (attribute, cell) in enumerate(cells.items(), 1):
        last = k == len(cells)
        whole = {"return_sequences": layer.return_sequences or not last, "stateful": layer.stateful}
        config = {**cell.get_config(), "name": layer.name, "go_backwards": layer.go_backwards and k == 1, **whole}
        single = CELLS[type(cell)].from_config(config)
        y = call.outputs[0]
        if not last:
            y = Value(f"{y.name}/cell_{k}", tuple(single.compute_output_shape(x.shape)), x.dtype)
        names = {f"cell.{slot}": f"{attribute}.{slot}" for slot in slots.weight_slots(cell)}
        own = {slot: call.slots.get(name, name) for slot, name in names.items()}
        yield replace(
            call, layer=filled(single, x.shape, call.layer, names), args=(x,), kwargs={}, outputs=(y,), slots=own
        )
        x = y


def _cells(layer: Any) -> dict[str, Any]:
    """The cells of an RNN by the attribute path under which they are found."""
    if isinstance(layer.cell, layers.StackedRNNCells):
        return {f"cell.cells.{k}": cell for k, cell in enumerate(layer.cell.cells)}
    return {"cell": layer.cell}


def _bidirectional(call: Call, layer: Any, filled: Filled) -> Iterator[Call]:
    (x,), sides = call.inputs, ("forward_layer", "backward_layer")
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
    own = {slot: call.slots.get(name, name) for slot, name in names.items()}
    return replace(call, layer=filled(twin, x.shape, call.layer, names), args=(x,), kwargs={}, outputs=(y,), slots=own)
