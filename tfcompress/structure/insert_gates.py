"""Puts a gate behind every layer whose channels can be removed."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tfcompress.constant_gate import ConstantGate
from tfcompress.structure.channels import Channels
from tfcompress.structure.doomed import Unneeded
from tfcompress.structure.groups import Group, groups
from tfcompress.structure.mixing import mixing
from tfcompress.structure.rebuild import Looking, rebuild
from tfcompress.structure.trace import Value, trace


def insert_gates(
    model: keras.Model,
    layers: str,
    make: Callable[..., keras.layers.Layer],
    arguments: Mapping[str, Any],
    suffix: str,
    looking: bool = False,
) -> keras.Model:
    """Returns a copy of ``model`` with gates; the original is not changed.

    A gate comes behind each group (a convolution or Dense layer, its batch norm and ReLU) whose channels can be removed
    when that gate alone closes. Where a sum ties the channels of several groups, no single gate can: there is none.

    Args:
        model: A built Sequential or Functional model, nested ones included.
        layers: Regular expression on the names or paths of convolutions and Dense layers, as a whole.
        make: The class of the gates.
        arguments: Of each; from ``seed``, if there is one, each gate gets its own, counted up.
        suffix: Gates are called ``<last layer of the group>_<suffix>``.
        looking: Gates are called on ``[what the group delivers, what goes into it]``.

    Raises:
        ValueError: ``layers`` matches no convolution or Dense layer whose channels can be removed.
    """
    channels = Channels(trace(model))
    places = _places(channels, re.compile(layers))
    if not places:
        known = [call.path for call in channels.trace.calls if mixing(call.layer)]
        raise ValueError(
            f"`layers` must match a convolution or Dense layer whose channels can be removed. Received: {layers!r}. "
            f"Convolutions and Dense layers: {known}; channels stay where they are outputs of the model, or tied by a "
            "sum to channels of other layers."
        )
    seed = arguments.get("seed")
    gates = {}
    for k, (value, group) in enumerate(places.items()):
        own = {"seed": None if seed is None else seed + k, "name": f"{group.members[-1].layer.name}_{suffix}"}
        gates[value.name] = make(**{**arguments, **own})
    if not looking:
        return rebuild(model, append=gates.get)
    looks = {value.name: Looking(gates[value.name], group.head.inputs[0].name) for value, group in places.items()}
    return rebuild(model, append=looks.get)


def _places(channels: Channels, wanted: re.Pattern[str]) -> dict[Value, Group]:
    """Value to stand behind -> the group that makes it."""
    found = {}
    for group in groups(channels.trace):
        named = wanted.fullmatch(group.head.path) or wanted.fullmatch(group.head.layer.name)
        once = channels.uses(group.members[-1].layer) == 1
        if mixing(group.head.layer) and named and once and _can_close(channels, group.value):
            found[group.value] = group
    return found


def _can_close(channels: Channels, value: Value) -> bool:
    """Whether all channels could be removed if they were zero from here on, and no gate is there yet."""
    if any(isinstance(call.layer, ConstantGate) for call in channels.trace.consumers.get(value, [])):
        return False
    if value not in channels.numbers or {*channels.numbers[value].tolist()} & channels.fixed.keys():
        return False
    closed = Unneeded(channels, {value: np.zeros(len(channels.numbers[value]))})
    return bool(closed.free(np.zeros(channels.count, bool))[channels.numbers[value]].all())
