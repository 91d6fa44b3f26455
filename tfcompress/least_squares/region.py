"""The part of a model between two positions, and what the network computes at them."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tfcompress.least_squares.activation_targets import ALONE, LINEAR, Rule, rule
from tfcompress.least_squares.linear_rows import ROWS
from tfcompress.structure.groups import core
from tfcompress.structure.play import feed
from tfcompress.structure.rebuild import clone
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import Call, Trace, Value, trace


class Region(NamedTuple):
    """Calls with one tensor in front, one behind, and no other way in or out.

    Attributes:
        calls: In execution order; none where a layer is to be inserted.
        entry: The tensor in front, the first position.
        exit: The tensor behind, the second position.
    """

    calls: tuple[Call, ...]
    entry: Value
    exit: Value


def use(traced: Trace, name: str) -> Call:
    """The one use of the layer with that name or path.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [call for call in traced.calls if name in (call.path, call.path.partition("#")[0], call.layer.name)]
    if len(found) != 1:
        paths = list(dict.fromkeys(call.path.partition("#")[0] for call in traced.calls))
        many = f", which is used {len(found)} times and has one set of weights for all of them" if found else ""
        raise ValueError(f"`at` must name one layer by name or path. Received: {name!r}{many}. Layers: {paths}")
    if len(found[0].outputs) != 1:
        raise ValueError(f"Layer '{found[0].path}' must deliver one tensor. Received: {len(found[0].outputs)}.")
    return found[0]


def behind(traced: Trace, name: str) -> Region:
    """The place behind a layer: no calls."""
    value = use(traced, name).outputs[0]
    return Region((), value, value)


def between(traced: Trace, first: str, last: str) -> Region:
    """All that lies between the input of one layer and the output of another, both included.

    Raises:
        ValueError: The two are not on one way, or a layer between them gets tensors from elsewhere, delivers some
            elsewhere, or is used elsewhere too. The message names it.
    """
    start, end = use(traced, first), use(traced, last)
    if len(start.inputs) != 1:
        raise _refused(start, f"get one tensor. Received: {len(start.inputs)}", "Begin with a layer behind it")
    entry, exit = start.inputs[0], end.outputs[0]
    calls = _on_the_way(traced, entry, exit)
    if start not in calls:
        raise _refused(end, f"be reached from '{first}'. Received: no way from one to the other", "Turn them round")
    inside = {entry, *(value for call in calls for value in call.outputs)}
    for call in calls:
        strangers = [value.name for value in call.inputs if value not in inside]
        if strangers:
            raise _refused(call, f"get what '{first}' gets, or what follows from it. Received: {strangers}", TAKE)
        readers = [c.path for v in call.outputs if v is not exit for c in traced.consumers.get(v, []) if c not in calls]
        if readers or any(v in traced.outputs for v in call.outputs if v is not exit):
            raise _refused(call, f"serve only layers up to '{last}'. Received: also {readers or 'an output'}", TAKE)
        if sum(other.layer is call.layer for other in traced.calls) > 1:
            raise _refused(call, "be used once. Received: several uses with one set of weights", TAKE)
    return Region(tuple(calls), entry, exit)


TAKE = "Take the whole branch between two tensors, or less"


def _refused(call: Call, must: str, remedy: str) -> ValueError:
    return ValueError(f"Layer '{call.path}' ({type(core(call.layer)).__name__}) must {must}. {remedy}.")


def _on_the_way(traced: Trace, entry: Value, exit: Value) -> list[Call]:
    """The calls between the values, in execution order: those that lead to ``exit`` and depend on ``entry``."""
    needed: set[Call] = set()
    ends = [exit]
    while ends:
        call = traced.producer[ends.pop()]
        if call not in needed:
            needed.add(call)
            ends += [value for value in call.inputs if value is not entry]
    reached = {entry}
    found = []
    for call in traced.calls:
        if call in needed and reached & {*call.inputs}:
            reached |= {*call.outputs}
            found.append(call)
    return found


class Listener:
    """Computes tensors of a model, and of another on the same data.

    Args:
        model: Its inputs say how ``x`` is read.
        x: As ``fit`` takes it.
        batch_size: Where ``x`` is in arrays.
        samples: At most this many.
    """

    def __init__(self, model: keras.Model, x: Any, batch_size: int, samples: int) -> None:
        traced = trace(model)
        fed = feed(model.name, traced, x, batch_size, samples)
        self.batches = [[fed[value][k] for value in traced.inputs] for k in range(len(fed[traced.inputs[0]]))]

    def hear(self, traced: Trace, *values: Value) -> list[list[np.ndarray]]:
        """Values of a model for all batches, float32."""
        heard: list[list[np.ndarray]] = [[] for _ in values]
        for batch in self.batches:
            evaluate = replay(traced, dict(zip(traced.inputs, batch)))
            for value, arrays in zip(values, heard, strict=True):
                arrays.append(ops.convert_to_numpy(evaluate(value)).astype(np.float32))
        return heard

    def outputs(self, model: keras.Model) -> list[np.ndarray]:
        """What ``model`` delivers for the first batch."""
        traced = trace(model)
        evaluate = replay(traced, dict(zip(traced.inputs, self.batches[0])))
        return [ops.convert_to_numpy(evaluate(value)) for value in traced.outputs]


def aims(ear: Listener, traced: Trace, value: Value, wanted: Rule) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """``value``, and what the model computes in front of it, if the activation between them is the ``wanted`` one."""
    call = traced.producer[value]
    layer = core(call.layer)
    same = len(call.inputs) == 1 and wanted != LINEAR and rule(layer) == wanted
    if same and isinstance(layer, ALONE):
        y, t = ear.hear(traced, value, call.inputs[0])
        return y, t
    if same and type(layer) in ROWS:
        linear = clone(call.layer)
        core(linear).activation = keras.activations.linear
        y, inputs = ear.hear(traced, value, call.inputs[0])
        return y, [ops.convert_to_numpy(linear(x)).astype(np.float32) for x in inputs]
    return ear.hear(traced, value)[0], None
