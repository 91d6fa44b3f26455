r"""Distributions on [0, 1] (or around it) as cumulative distribution functions with a density for the gradient.

    beta(a, b)                   F(x) = I_x(a, b), density x**(a - 1) (1 - x)**(b - 1) / B(a, b)
    relaxed_bernoulli(p, t)      F(x) = sigmoid(t logit(x) - logit(p)),  of sigmoid((logit(p) + logistic noise) / t)
    normal(mean, deviation)      F(x) = (1 + erf((x - mean) / (deviation sqrt(2)))) / 2

The regularised incomplete beta function ``I_x`` is in no backend-free library. As a function of ``u = logit(x)`` it is
smooth at both ends, whatever ``a`` and ``b``, with the derivative ``x**a (1 - x)**b / B``. So Simpson's rule makes a
table of it once, from below the smallest float32 to above the largest below 1, and a cubic between two entries, which
meets value and derivative at both, gives the rest.

Reference: Bejnordi, Blankevoort and Welling, "Batch-Shaping for Learning Conditional Channel Gated Networks",
ICLR 2020, https://arxiv.org/abs/1907.06627; relaxed Bernoulli: Maddison, Mnih and Teh, "The Concrete Distribution",
ICLR 2017, https://arxiv.org/abs/1611.00712. Differs from the source in the table.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

Function = Callable[[Any], Any]
"""Of a float32 tensor of any shape."""

LOW, HIGH, PER_UNIT = -88, 17, 40
"""``logit`` of the smallest float32 and of the largest below 1, and how many entries of the table lie in a unit."""

ENTRIES = (HIGH - LOW) * PER_UNIT


def beta(a: float, b: float) -> tuple[Function, Function]:
    """The distribution function and the density of Beta(a, b)."""
    _check("beta", {"a": a, "b": b})
    values, slopes, total = _table(a, b)
    pieces = np.stack([values[:-1], slopes[:-1], values[1:], slopes[1:]], axis=-1).astype(np.float32)

    def distribution(x: Any) -> Any:
        place = _logit(x) * PER_UNIT
        left = ops.floor(ops.clip(place, LOW * PER_UNIT, HIGH * PER_UNIT - 1))
        piece = ops.take(pieces, ops.cast(left, "int32") - LOW * PER_UNIT, axis=0)
        inside = ops.where(x >= 1, 1.0, _cubic(place - left, piece))
        return ops.where(x <= 0, 0.0, inside)

    def density(x: Any) -> Any:
        x = ops.clip(x, 1e-30, 1 - 2.0**-24)
        return ops.exp((a - 1) * ops.log(x) + (b - 1) * ops.log1p(-x) - math.log(total))

    return distribution, density


def _table(a: float, b: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Values and derivatives (times the distance of two entries) of ``I_x`` at equal distances of ``logit(x)``, and B.

    Simpson's rule, tails by the first term of their series; divided by the whole, so that B need not be known.
    """
    step = 1 / PER_UNIT
    u = np.linspace(LOW, HIGH, 2 * ENTRIES + 1)
    slope = np.exp(-a * np.logaddexp(0, -u) - b * np.logaddexp(0, u))
    parts = step / 6 * (slope[:-2:2] + 4 * slope[1::2] + slope[2::2])
    below, above = math.exp(a * LOW) / a, math.exp(-b * HIGH) / b
    values = below + np.concatenate([[0.0], np.cumsum(parts)])
    total = float(values[-1] + above)
    return values / total, slope[::2] * step / total, total


def _cubic(t: Any, piece: Any) -> Any:
    """The cubic with values and slopes ``piece`` (..., 4) at 0 and 1, at ``t``."""
    y0, s0, y1, s1 = (piece[..., k] for k in range(4))
    rise = y1 - y0
    return y0 + t * (s0 + t * ((3 * rise - 2 * s0 - s1) + t * (s0 + s1 - 2 * rise)))


def relaxed_bernoulli(probability: float, temperature: float) -> tuple[Function, Function]:
    """The distribution function and the density of a Bernoulli variable with a sigmoid in place of the step."""
    _check("relaxed_bernoulli", {"probability": min(probability, 1 - probability), "temperature": temperature})
    offset = math.log(probability) - math.log1p(-probability)

    def inside(x: Any) -> Any:
        return ops.clip(x, 1e-3, 1 - 1e-3)

    def distribution(x: Any) -> Any:
        return ops.sigmoid(temperature * _logit(inside(x)) - offset)

    def density(x: Any) -> Any:
        x = inside(x)
        share = distribution(x)
        return share * (1 - share) * temperature / (x * (1 - x))

    return distribution, density


def normal(mean: float, deviation: float) -> tuple[Function, Function]:
    """The distribution function and the density of a normal distribution."""
    _check("normal", {"deviation": deviation})

    def distribution(x: Any) -> Any:
        return 0.5 * (1 + ops.erf((x - mean) / (deviation * math.sqrt(2))))

    def density(x: Any) -> Any:
        return ops.exp(-0.5 * ops.square((x - mean) / deviation)) / (deviation * math.sqrt(2 * math.pi))

    return distribution, density


def _logit(x: Any) -> Any:
    x = ops.clip(x, 1e-38, 1 - 2.0**-24)
    return ops.log(x) - ops.log1p(-x)


def _check(name: str, values: dict[str, float]) -> None:
    if not all(value > 0 for value in values.values()):
        raise ValueError(f"The parameters of the prior '{name}' must be positive. Received: {values}")


PRIORS: dict[str, Callable[[float, float], tuple[Function, Function]]] = {
    "beta": beta,
    "relaxed_bernoulli": relaxed_bernoulli,
    "normal": normal,
}
"""By the name that ``BatchShaping`` takes."""
