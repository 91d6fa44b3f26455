"""The last rounding of ``Budget``: what was learned becomes whole widths and channels that keep the limit, for good.

    shift  =  the largest s with  cost(round_up(bits + s), channels that are on by more than -s)  <=  limit

one shift for all that the cost depends on, between -64 and the widest width. A cost may take seconds to measure: so
its surrogate says which shift should just fit, the real cost of that is measured, and the surrogate, which now has the
value of the cost there, says where to look next, between what fits and what does not. A cost that is its own surrogate
is right at once.

What the limit leaves is given to single widths, the next one for those that the rounding has cost most.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfcompress import costs
from tfcompress.callbacks.priced import Priced, State, Width, slope

FARTHEST = 64.0
"""Shifts are within this, in bits or in logarithms of a gate."""

FINEST = 1 / 64
"""Shifts closer than this are the same."""

LOOKS = 16
"""How often the real cost is measured in search of a shift."""


@dataclass(eq=False)
class Settling:
    """A rounding in progress.

    Attributes:
        limit: What the model may cost.
        facts: Of the model.
        state: Widths and channels as they are now.
        near: The cost around the model as it is now.
        learned: What is to be rounded -> its amount.
    """

    limit: float
    facts: costs.Facts
    state: Callable[[], State]
    near: Callable[[], costs.Cost]
    learned: Mapping[Priced, float]
    moving: set[Priced] = field(default_factory=set, init=False)
    plans: dict[Priced, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.plans = {one: one.plan() for one in self.learned}

    def run(self) -> None:
        """Fixes all of it."""
        self._fix(0.0)
        near = self.near()
        while more := self._effective(near) - self.moving:  # where some have gone, others may begin to matter
            self.moving |= more
            near, met = self._shift(near)
            if met:
                break
        rounded_off = {
            w: bits - w.transform.width for w, bits in self.learned.items() if isinstance(w, Width) and w in self.moving
        }
        self._fill(near, sorted(rounded_off, key=lambda w: -rounded_off[w]))

    def _rows(self) -> list[costs.Row]:
        return self.facts.rows(*self.state())

    def _within(self, near: costs.Cost, rows: list[costs.Row]) -> bool:
        return near.count(rows) <= self.limit * (1 + 1e-9)

    def _effective(self, near: costs.Cost) -> set[Priced]:
        """What the cost depends on."""
        state = self.state()
        return {one for one in self.learned if slope(one, state, self.facts, near) > 0}

    def _fix(self, shift: float) -> list[costs.Row]:
        for one, plan in self.plans.items():
            one.fix(plan, shift if one in self.moving else 0.0)
        return self._rows()

    def _shift(self, near: costs.Cost) -> tuple[costs.Cost, bool]:
        """Fixes with the largest shift that fits, else with the smallest; the cost around it, and whether it fits."""
        low, high = (
            -FARTHEST,
            float(max((w.transform.widths[-1] for w in self.plans if isinstance(w, Width)), default=0)),
        )
        fitting, around = None, near
        for _ in range(LOOKS):
            shift = self._largest(near, low, high)
            if (rows := self._fix(shift)) == fitting:
                break
            near = self.near()
            if self._within(near, rows):
                low, fitting, around = shift, rows, near
            elif shift > -FARTHEST:
                high = shift
            else:
                return near, False
        rows = self._fix(low)
        around = around if fitting else self.near()
        return around, self._within(around, rows)

    def _largest(self, near: costs.Cost, low: float, high: float) -> float:
        """The largest shift that ``near`` says to fit, at least ``low``."""
        while high - low > FINEST:
            middle = (low + high) / 2
            low, high = (middle, high) if self._within(near, self._fix(middle)) else (low, middle)
        return low

    def _fill(self, near: costs.Cost, widths: list[Width]) -> None:
        """Gives the next width to those that still fit, one after the other."""
        for width in widths:
            fixed, choice = width.transform.fixed, width.transform.widths
            before = width.transform.width
            if before == choice[-1]:
                continue
            fixed.assign(float(choice[choice.index(before) + 1]))
            around = self.near() if self._within(near, self._rows()) else near
            if self._within(around, self._rows()):
                near = around
            else:
                fixed.assign(float(before))
