"""Decides which rule has the last word on every weight and every group output of a model.

A rule is a regular expression and, for each slot, a prototype Transform or None, which takes away what earlier rules
gave. A rule that finds no layer, or a slot that none of its layers has, is an error; so is an output transform in
the middle of a group, where no tensor exists on the chip.
"""

import difflib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfcompress.structure import slots
from tfcompress.structure.groups import Group, core, groups, has_fixed_grid
from tfcompress.structure.trace import Call, Trace, Value, trace
from tfcompress.transform import Transform

Rule = tuple[str, Mapping[str, Transform | None]]

MAX_POOLING = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)
"""Layers that deliver some of the numbers that they get."""


@dataclass(frozen=True, eq=False)
class Output:
    """What shall stand behind ``value``: ``prototype`` (None: nothing) in place of ``existing`` (None: nothing).

    ``source`` is what the group leaves, and ``tail`` its last layer; max pooling may lie between it and ``value``.
    """

    value: Value
    source: Value
    tail: Any
    prototype: Transform | None
    existing: Transform | None

    @property
    def layer_name(self) -> str:
        """Name of the layer that stands there: ``conv_output``; numbered for further uses and outputs of a layer."""
        path, _, output = self.source.name.partition(":")
        use = path.partition("#")[2]
        return f"{self.tail.name}_output" + (f"_use{use}" if use else "") + (f"_{output}" if output else "")


def plan_weights(traced: Trace, rules: Sequence[Rule]) -> dict[int, dict[str, Transform | None]]:
    """The last word on every weight that a rule names: ``id(layer) -> slot -> prototype``.

    Raises:
        ValueError: A rule matches no layer, or none of the layers it matches has the slot.
    """
    plan: dict[int, dict[str, Transform | None]] = {}
    passed_by: dict[int, Any] = {}
    for rule, slot, prototype in _wishes(rules):
        if slot == slots.OUTPUT:
            continue
        layers = _layers(traced, rule)
        found = {key: slots.matching(layer, slot) for key, layer in layers.items()}
        if not any(found.values()):
            has = {layer.name: list(slots.weight_slots(layer)) for layer in layers.values()}
            raise ValueError(
                f"Rule {rule!r} must name a slot that a layer it matches has. Received: slot={slot!r}. "
                f"Those layers and their slots: {has}. The slot for what a layer delivers is 'output'."
            )
        for key in [key for key, paths in found.items() if paths]:
            plan.setdefault(key, {}).update(dict.fromkeys(found[key], prototype))
        if prototype is not None and any(_large(layers[key]).keys() & set(paths) for key, paths in found.items()):
            passed_by |= {key: layers[key] for key, paths in found.items() if not paths}
    _warn_of(passed_by, plan)
    return plan


def plan_outputs(model: keras.Model, traced: Trace, rules: Sequence[Rule]) -> dict[str, Output]:
    """The last word on every group output that a rule names, by the name that ``rebuild`` asks for.

    Raises:
        ValueError: A rule puts a transform inside a group or behind layers that only move data, or the uses of a
            nested model would need different ones.
    """
    found = groups(traced)
    last: dict[Group, Transform | None] = {}
    for rule, slot, prototype in _wishes(rules):
        if slot == slots.OUTPUT:
            last.update(dict.fromkeys(_heads(traced, found, rule), prototype))
    ends = {group: _floats(group.members[-1]) for group in found if group in last}
    wanted = {_stand(traced, value): last[group] for group, values in ends.items() for value in values}
    return {
        uses[0].name: _output(traced, uses, wanted)
        for uses in _shared(model, traced).values()
        if any(value in wanted for value in uses)
    }


def _wishes(rules: Sequence[Rule]) -> Iterator[tuple[str, str, Transform | None]]:
    for rule, wanted in rules:
        for slot, prototype in wanted.items():
            yield rule, slot, prototype


def _matches(traced: Trace, rule: str) -> list[Call]:
    """The calls whose path, with or without the number of the use, or whose layer's name fits."""
    fits = re.compile(rule).fullmatch
    found = [c for c in traced.calls if fits(c.path) or fits(c.path.partition("#")[0]) or fits(c.layer.name)]
    if not found:
        names = list(dict.fromkeys(call.path for call in traced.calls))
        close = difflib.get_close_matches(rule, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(
            f"Rule {rule!r} must match the whole name of at least one layer, as a regular expression. "
            f"Received: no match among {names}.{hint}"
        )
    return found


def _layers(traced: Trace, rule: str) -> dict[int, Any]:
    """The matching layers, opened if they are Compressed; the transforms between layers are not asked."""
    calls = _matches(traced, rule)
    return {id(call.layer): core(call.layer) for call in calls if not isinstance(call.layer, Transform)}


def _large(layer: Any) -> dict[str, keras.Variable]:
    """The weights that are matrices or more, next to which biases and the like are small."""
    return {slot: variable for slot, variable in slots.weight_slots(layer).items() if len(variable.shape) > 1}


def _warn_of(passed_by: Mapping[int, Any], plan: Mapping[int, Mapping[str, Any]]) -> None:
    """A rule for kernels passes by an Embedding: legal, but the table may be the largest part of the model."""
    for key, layer in passed_by.items():
        large = list(_large(layer))
        if large and not plan.get(key, {}).keys() & set(large):
            warnings.warn(
                f"Layer '{layer.name}' matches a rule, but has none of the rule's slots: its {large} stays as it is. "
                f"Add a rule {{'{layer.name}': {{'{large[0]}': ...}}}}, with None to leave it so without this warning.",
                stacklevel=4,
            )


def _heads(traced: Trace, found: Sequence[Group], rule: str) -> list[Group]:
    """The groups whose heads the rule matches."""
    matched = _matches(traced, rule)
    heads = [group for group in found if group.head in matched and _is_free(group)]
    for group in found:
        inside = [call for call in group.members[1:] if call in matched]
        if inside and group not in heads:
            raise ValueError(
                f"Rule {rule!r} asks for the output of layer '{inside[0].path}', but that layer is computed together "
                f"with '{group.head.path}': the only tensor in memory is the one behind '{group.members[-1].path}'. "
                f"Give the rule to the head of the group: {{'{group.head.path}': {{'output': ...}}}}."
            )
    if not heads:
        raise ValueError(
            f"Rule {rule!r} asks for the output of layers whose output has no grid to choose: it lies on that of their "
            f"input, is fixed by the file format (softmax: multiples of 1/256), or holds integers. "
            f"Received: {[call.path for call in matched]}. "
            f"Layers that head a group with a grid of its own: {[g.head.path for g in found if _is_free(g)]}."
        )
    return heads


def _is_free(group: Group) -> bool:
    """Whether a transform may decide the grid of what the group leaves."""
    tail = group.members[-1]
    return bool(_floats(tail)) and not has_fixed_grid(core(tail.layer))


def _floats(call: Call) -> list[Value]:
    return [value for value in call.outputs if "float" in value.dtype]


def _shared(model: keras.Model, traced: Trace) -> dict[tuple[int, str], list[Value]]:
    """The Values of the opened trace that are one tensor of one model's graph, by where that is.

    A nested model that is used twice shows twice in the trace, but a layer put into it acts on both uses.
    """
    places: dict[tuple[int, str], list[Value]] = {}
    for call in traced.calls:
        base, _, use = call.path.partition("#")
        *scopes, name = base.split("/")
        owner = model
        for scope in scopes:
            owner = owner.get_layer(scope)
        uses_inside = sum(c.layer is call.layer for c in trace(owner, nested=False).calls) if use else 1
        for k, value in enumerate(call.outputs):
            place = f"{name}#{int(use or 0) % uses_inside}:{k}"
            places.setdefault((id(owner), place), []).append(value)
    return places


def _stand(traced: Trace, value: Value) -> Value:
    """Where the transform of a group's value stands: behind the max pooling that alone reads it, if there is one.

    Rounding to a grid and picking the largest commute, and behind the pooling there are fewer numbers to round.
    """
    readers = traced.consumers.get(value, [])
    if len(readers) != 1 or value in traced.outputs or not isinstance(readers[0].layer, MAX_POOLING):
        return value
    same_model = readers[0].path.rpartition("/")[0] == value.name.rpartition("/")[0]
    return _stand(traced, readers[0].outputs[0]) if same_model else value


def _source(traced: Trace, value: Value) -> Value:
    """The group's value, from where its transform stands."""
    call = traced.producer[value]
    return _source(traced, call.inputs[0]) if isinstance(call.layer, MAX_POOLING) else value


def _output(traced: Trace, uses: Sequence[Value], wanted: Mapping[Value, Transform | None]) -> Output:
    """What goes behind one tensor of one graph, if all uses of that graph agree."""
    first = uses[0]
    source = _source(traced, first)
    tail = traced.producer[source]
    if any((value in wanted, wanted.get(value)) != (first in wanted, wanted.get(first)) for value in uses):
        raise ValueError(
            f"Layer '{tail.path}' is part of a nested model that is used {len(uses)} times, and its output needs "
            f"different transforms in them, or is fused with what follows in only one of them. Give the same 'output' "
            "rule to all uses, or end the nested model with the activation that follows it."
        )
    followers = [call for value in uses for call in traced.consumers.get(value, [])]
    behind = {call.layer for call in followers}
    alone = len(behind) == 1 and not any(value in traced.outputs for value in uses)
    existing = followers[0].layer if alone and isinstance(followers[0].layer, Transform) else None
    return Output(first, source, core(tail.layer), wanted[first], existing)
