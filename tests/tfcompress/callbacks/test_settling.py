"""The last rounding on widths that are plain numbers, with costs whose surrogate is right or wrong."""

import pytest

from tfcompress.callbacks import settling
from tfcompress.callbacks.priced import Width
from tfcompress.callbacks.settling import Settling
from tfcompress.costs import Cost, Row


class Bits:
    """A transform that has learned a fraction of bits; also its own variable."""

    def __init__(self, learned, widths=range(2, 9)):
        self.soft_bits, self.widths, self.width, self.fixed = learned, tuple(widths), 0, self

    def assign(self, width):
        self.width = int(width)


class Facts:
    """One row of a thousand multiplications for each width."""

    def __init__(self, transforms):
        self.transforms = transforms

    def rows(self, widths, gone):
        return [Row(str(k), 1000, 1000, widths[t], 1) for k, t in enumerate(self.transforms)]


def linear(rows):
    return sum(row.weight_bits for row in rows)


def in_bricks(rows):
    """As 2-bit bricks count: 5 bits take as long as 8."""
    return sum(2 ** (int(row.weight_bits) - 1).bit_length() for row in rows)


def settle(limit, learned, real, surrogate=linear, **options):
    """The widths in the end, and how often the real cost was measured."""
    transforms = [Bits(bits, **options) for bits in learned]
    facts, looks = Facts(transforms), []

    def state():
        return {t: t.width for t in transforms}, None

    def near():
        there = facts.rows(*state())
        looks.append(real(there))
        scale = looks[-1] / surrogate(there) if surrogate is not real else 1
        return Cost(lambda rows: scale * surrogate(rows))

    Settling(limit, facts, state, near, {Width(t): t.soft_bits for t in transforms}).run()
    return [t.width for t in transforms], len(looks)


def test_one_shift_for_all_and_what_is_left_for_those_that_lost_most():
    """4.6, 3.2 and 6.9 less 0.7 make 4, 3 and 7; the bit that is left goes to the first, whose rounding took 0.6."""
    assert settle(15, [4.6, 3.2, 6.9], linear)[0] == [5, 3, 7]


def test_what_is_too_cheap_becomes_wider():
    assert settle(18, [4, 4, 4], linear)[0] == [6, 6, 6]


@pytest.mark.parametrize("limit", [6, 8, 13, 17, 24])
def test_limits_are_kept_where_the_surrogate_is_wrong(limit):
    widths, looks = settle(limit, [4.6, 3.2, 6.9], in_bricks)
    assert limit / 2 <= sum(2 ** (width - 1).bit_length() for width in widths) <= limit
    assert looks <= settling.LOOKS + 5


def test_a_right_surrogate_needs_few_looks():
    assert settle(15, [4.6, 3.2, 6.9], linear, linear)[1] <= 5


def test_what_cannot_be_met_is_left_at_the_least():
    assert settle(5, [4.6, 3.2, 6.9], linear)[0] == [2, 2, 2]


def test_what_costs_nothing_stays_as_it_was_learned():
    assert settle(5, [4.6, 3.2, 6.9], lambda rows: 10, lambda rows: 10)[0] == [5, 4, 7]
