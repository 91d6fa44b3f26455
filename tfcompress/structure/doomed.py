"""Decides which channels go: those that were named, or those that the model itself does not need.

Both are questions to the places where channels are read, the layers that sum over them. Channels with one number
(``channels.py``) go only if every reader can do without:

    named         they passed a layer that the user gave a mask for; a sum passed if all its terms did
    not needed    the reader gets a constant, which its bias can take over, or multiplies by zeros only

``Doomed.free(gone)`` answers for all numbers at once, given what is gone already: a channel that nobody reads any more
can go in turn.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from keras import layers

from tfcompress.channel_switch import ChannelSwitch
from tfcompress.compressed import Compressed
from tfcompress.constant_gate import ConstantGate
from tfcompress.structure.channels import Channels
from tfcompress.structure.constants import Known, constants
from tfcompress.structure.groups import core
from tfcompress.structure.mixing import covers, mixing
from tfcompress.structure.relations import follows
from tfcompress.structure.trace import Call, Value

PRODUCTS = (layers.Multiply, ChannelSwitch)
"""Layers that deliver zero where one of their inputs is zero."""

Gone = np.ndarray
"""For every number whether its channels go; bool."""


class Doomed(Protocol):
    """Says which channels may go."""

    def free(self, gone: Gone) -> Gone:
        """The numbers that no reader needs, if those of ``gone`` are gone."""

    def shift(self, call: Call, gone: Gone) -> np.ndarray | None:
        """What the bias of a reader takes over, for every output channel; None for nothing."""


class Named:
    """The channels that masks take away.

    Args:
        channels: Of the model.
        masks: Value -> True for the channels that shall go.
    """

    def __init__(self, channels: Channels, masks: Mapping[Value, np.ndarray]) -> None:
        self.channels = channels
        self.passed: dict[Value, np.ndarray] = {}
        for call in channels.trace.calls:
            for value in (value for value in call.outputs if value in channels.numbers):
                self.passed[value] = np.logical_or(self._passed(call, value), masks.get(value, False))

    def _passed(self, call: Call, value: Value) -> np.ndarray:
        relation = follows(call)
        none = np.zeros(len(self.channels.numbers[value]), bool)
        if relation is None or not all(v in self.passed for v in call.inputs):
            return none
        entries = [self.passed[v] for v in call.inputs]
        try:
            rows = relation(call, entries)
        except ValueError:
            return none
        return np.asarray(rows.any(axis=0) if isinstance(core(call.layer), PRODUCTS) else rows.all(axis=0))

    def free(self, gone: Gone) -> Gone:
        """Where every reader comes behind a mask."""
        needed = np.zeros(self.channels.count, bool)
        for _, value in self.channels.reads():
            needed[self.channels.numbers[value][~self.passed[value]]] = True
        return ~needed & self.asked()

    def asked(self) -> Gone:
        """The numbers that some mask takes away."""
        asked = np.zeros(self.channels.count, bool)
        for value, passed in self.passed.items():
            asked[self.channels.numbers[value][passed]] = True
        return asked

    def shift(self, call: Call, gone: Gone) -> np.ndarray | None:
        """Nothing: what was in the channel is gone with it."""
        return None


class Unneeded:
    """The channels that the model does not need.

    Args:
        channels: Of the model.
        given: Value -> constants that are thought there, for ``constants``.
    """

    def __init__(self, channels: Channels, given: Mapping[Value, Known] | None = None) -> None:
        self.channels = channels
        self.known = constants(channels, given)
        self.matrices = {call: mixing(call.layer).matrix(call.layer) for call, _ in channels.reads()}  # type: ignore
        self.shiftable = {call: self._can_shift(call.layer) for call, _ in channels.reads()}

    def _can_shift(self, layer: Any) -> bool:
        fixed_bias = isinstance(layer, Compressed) and "bias" in layer.transforms
        return covers(core(layer)) and not fixed_bias and self.channels.uses(layer) == 1

    def free(self, gone: Gone) -> Gone:
        """Where every reader gets a constant that its bias can take over, or does not look at what it gets."""
        needed = np.zeros(self.channels.count, bool)
        for call, value in self.channels.reads():
            stays = ~gone[self.channels.numbers[call.outputs[0]]]
            looks = (self.matrices[call][:, :, stays] != 0).any(axis=(0, 2))
            x = self.known[value]
            spared = (x == 0) | (np.isfinite(x) & self.shiftable[call])
            needed[self.channels.numbers[value][looks & ~spared]] = True
        return ~needed

    def shift(self, call: Call, gone: Gone) -> np.ndarray | None:
        """The sum over the constants that go, times their weights."""
        if call not in self.matrices:
            return None
        value = call.inputs[0]
        x = np.where(gone[self.channels.numbers[value]], np.nan_to_num(self.known[value]), 0.0)
        total = x @ self.matrices[call].sum(axis=0)
        return total if np.any(total) else None


def importance(channels: Channels) -> np.ndarray:
    """How much each number matters: the norm of the kernels that make its channels, times what gates say of them."""
    norms, factors = np.zeros(channels.count), np.ones(channels.count)
    for call in channels.trace.calls:
        value = call.outputs[0]
        if mixing(call.layer) and value in channels.numbers and call.inputs[0] in channels.numbers:
            matrix = np.nan_to_num(mixing(call.layer).matrix(call.layer))  # type: ignore[union-attr]
            np.add.at(norms, channels.numbers[value], (matrix**2).sum(axis=(0, 1)))
        elif isinstance(core(call.layer), ConstantGate) and value in channels.numbers:
            factors[channels.numbers[value]] *= core(call.layer).importance
    return np.sqrt(norms) * factors


def settled(channels: Channels, doomed: Doomed, multiple_of: int) -> Gone:
    """The channels that go: all that may, less those that must stay so that each layer keeps enough.

    Args:
        channels: Of the model.
        doomed: Says which may go.
        multiple_of: What the number of output channels of each mixing layer that loses some is rounded up to.
    """
    loose = np.ones(channels.count, bool)
    loose[list(channels.fixed)] = False
    gone = np.zeros(channels.count, bool)
    while True:  # what goes makes others unneeded
        more = doomed.free(gone) & loose
        if (more | gone == gone).all():
            break
        gone |= more
    ranking = np.argsort(np.argsort(-importance(channels), kind="stable"))
    while True:  # what stays needs others
        needed = np.flatnonzero(gone & ~doomed.free(gone))
        back = needed if len(needed) else _short(channels, gone, multiple_of, ranking)
        if not len(back):
            return gone
        gone[back] = False


def _short(channels: Channels, gone: Gone, multiple_of: int, ranking: np.ndarray) -> Sequence[int] | np.ndarray:
    """The most important numbers that a layer lacks, the last one that lacks some; none if all have enough."""
    for call in reversed(channels.trace.calls):
        for value in (value for value in call.outputs if value in channels.numbers):
            numbers = channels.numbers[value]
            left = int((~gone[numbers]).sum())
            step = multiple_of if mixing(call.layer) else 1
            wanted = min(len(numbers), max(-(-left // step) * step, 1))
            if left < wanted:
                lost = np.unique(numbers[gone[numbers]])
                return lost[np.argsort(ranking[lost])][: wanted - left]
    return []
