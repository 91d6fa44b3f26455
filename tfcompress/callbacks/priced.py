"""What ``Budget`` sets prices for: the widths of transforms and the channels behind gates.

Each has an amount (bits, or open channels), knows what the model would cost without any of it, takes a price for one
more of it, and can be fixed. How this is stored is state of the layers: ``price`` and ``fixed``, ``kl`` and ``open``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from tfcompress.costs import Cost, Facts, last
from tfcompress.gating.information_bottleneck import QUIET, InformationBottleneck
from tfcompress.quantization.bayesian_bits import BayesianBits
from tfcompress.quantization.learned_bits import LearnedBits, rounded_up
from tfcompress.structure.doomed import Gone, Unneeded
from tfcompress.structure.trace import Value
from tfcompress.transform import Transform

State = tuple[dict[Transform, float], Gone]
"""Widths and channels that are gone, as ``Facts.rows`` takes them."""


class Priced(Protocol):
    """A number that makes a model cheaper when it falls."""

    def amount(self, state: State) -> float:
        """How much of it there is."""

    def without(self, state: State) -> State:
        """The state if there were none of it."""

    def charge(self, price: float) -> None:
        """Sets the price of one more of it, in units of the loss."""

    def plan(self) -> Any:
        """What ``fix`` needs to know, as it was learned."""

    def fix(self, plan: Any, shift: float) -> None:
        """Ends the learning: what is there is rounded, after a shift in bits, and stays."""


@dataclass(frozen=True, eq=False)
class Width:
    """The width of a transform; ``key`` is the transform or the Chain that ends in it."""

    key: Transform

    @property
    def transform(self) -> LearnedBits:
        """The member that learns."""
        return last(self.key)

    def amount(self, state: State) -> float:
        """Its bits."""
        return state[0][self.key]

    def without(self, state: State) -> State:
        """As if it had no bits."""
        return {**state[0], self.key: 0.0}, state[1]

    def charge(self, price: float) -> None:
        """Sets the price of a bit."""
        self.transform.price.assign(self.transform.initial_price + price)

    def plan(self) -> float:
        """The bits that were learned."""
        return float(ops.convert_to_numpy(self.transform.soft_bits))

    def fix(self, plan: float, shift: float) -> None:
        """Rounds up the bits, ``shift`` added."""
        self.transform.fixed.assign(float(rounded_up(plan + shift, self.transform.widths)))


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels that a gate, or the gates in front of a kernel, may close; ``numbers`` are those of ``Facts``."""

    gate: Any
    numbers: np.ndarray

    def closed(self) -> np.ndarray:
        """The numbers of the channels that are closed at inference."""
        kept = self.gate.keep if isinstance(self.gate, InformationBottleneck) else self.gate.channels
        return self.numbers[~np.ravel(ops.convert_to_numpy(kept)).astype(bool)]

    def amount(self, state: State) -> float:
        """How many are open."""
        return float(np.sum(~state[1][self.numbers]))

    def without(self, state: State) -> State:
        """As if all were closed."""
        gone = state[1].copy()
        gone[self.numbers] = True
        return state[0], gone

    def charge(self, price: float) -> None:
        """Sets the price of a channel; one that is fully on is half of ``QUIET`` nats."""
        if isinstance(self.gate, InformationBottleneck):
            self.gate.kl.assign(self.gate.initial_kl + price / (self.gate.weight * QUIET / 2))
        else:
            self.gate.channel_price.assign(self.gate.initial_channel_price + price)

    def plan(self) -> np.ndarray:
        """How far each channel is from being closed."""
        return np.array(ops.convert_to_numpy(self.gate.margin))

    def fix(self, plan: np.ndarray, shift: float) -> None:
        """Opens what is open, but for what is nearer to being closed than a negative ``shift``."""
        self.gate.open.assign((plan + min(shift, 0.0) > 0) | (plan == plan.max()))
        if isinstance(self.gate, InformationBottleneck):
            self.gate.fixed.assign(1.0)


def slope(one: Priced, state: State, facts: Facts, cost: Cost) -> float:
    """What one more of it costs."""
    saved = cost.count(facts.rows(*state)) - cost.count(facts.rows(*one.without(state)))
    return saved / max(one.amount(state), 1.0)


def widths(facts: Facts) -> list[Width]:
    """The widths that are learned."""
    found = ((key, last(key)) for key in facts.widths())
    return [Width(key) for key, t in found if isinstance(t, LearnedBits) and t.learned is not False]


def channels(facts: Facts) -> list[Channels]:
    """The channels that may be closed one by one."""
    fixed = np.zeros(facts.channels.count, bool)
    fixed[list(facts.channels.fixed)] = True
    return [Channels(gate, numbers) for gate, numbers in _gates(facts) if not fixed[numbers].any()]


def _gates(facts: Facts) -> Iterator[tuple[Any, np.ndarray]]:
    numbers = facts.channels.numbers
    for gate, value in facts.gates().items():
        if isinstance(gate, InformationBottleneck) and value in numbers:
            yield gate, numbers[value]
    for kernel in facts.kernels:
        transform, value = None if kernel.transform is None else last(kernel.transform), kernel.call.outputs[0]
        if isinstance(transform, BayesianBits) and transform.prunes and _can_take_constants(facts, value):
            yield transform, numbers[value]


def _can_take_constants(facts: Facts, value: Value) -> bool:
    """Whether whatever constant a channel without a kernel delivers can go into the biases of its readers."""
    numbers = facts.channels.numbers.get(value)
    if numbers is None:
        return False
    readers = [call for call, x in facts.channels.reads() if np.isin(facts.channels.numbers[x], numbers).any()]
    shiftable = Unneeded(facts.channels).shiftable
    return all(shiftable[call] for call in readers)
