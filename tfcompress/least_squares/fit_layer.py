"""Sets the weights of one layer so that given inputs become given outputs, as well as they can.

The layer may have a batch norm and an activation behind it. Least squares finds the weights (``least_squares.py``), for
targets in front of the activation (``activation_targets.py``). Where the network that delivers the outputs computes
the same activation, what stands in front of it there is a second candidate for the targets: exact if the layer can do
what was done before, but it also spends effort on what the ReLU throws away. Both are fitted to four samples of five,
and the one with the smaller error of the outputs on the fifth is fitted to all.

A batch norm gets the statistics of its input, and scale and offset with which it does nothing at first.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers

from tfcompress.least_squares.activation_targets import LINEAR, Rule
from tfcompress.least_squares.least_squares import NormalEquations, predicted
from tfcompress.least_squares.linear_rows import ROWS
from tfcompress.least_squares.sampled_rows import ALL, HELD, SHOWN, SampledRows, Signals
from tfcompress.structure import slots

LARGE = 4609
"""Unknowns of one output whose covariance matrix is worth a warning: 170 MB."""

SETTLED = 1e-3
"""Change of the weights, relative to the largest, at which pseudo-targets are made no more."""

Solution = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Fitting:
    """How to fit.

    Attributes:
        ridge: See ``least_squares.py``.
        positions: At most this many positions of each sample.
        rounds: At most so many times pseudo-targets are made.
        seed: Of the positions.
    """

    ridge: float = 1e-6
    positions: int = 256
    rounds: int = 30
    seed: int = 0


def fit_layer(layer: Any, rule: Rule, signals: Signals, how: Fitting, norm: Any = None) -> float:
    """Assigns the weights of ``layer``, a built Dense or convolution, and of the batch norm behind it.

    Returns:
        Squared error of the outputs over their variance.
    """
    work = Fit(layer, rule, signals, how, layer.use_bias or norm is not None)
    theta, offset = work.best()
    _assign(layer, theta, offset, norm, work.equations)
    return work.error((theta, offset), ALL)


class Fit:
    """One fit in progress: the rows, their covariance, and what solves them."""

    def __init__(self, layer: Any, rule: Rule, signals: Signals, how: Fitting, bias: bool) -> None:
        self.layer, self.rule, self.how, self.bias = layer, rule, how, bias
        self.rows = SampledRows(layer, signals, how.positions, how.seed)
        self.tapped = signals.t is not None and rule != LINEAR
        constrained = ROWS[type(layer)].constrained
        self.constrained = constrained(layer, signals.z[0].shape[-1]) if constrained else None
        self.equations = self._equations(ALL)
        self._check_size()

    def best(self) -> Solution:
        """The better candidate, fitted to all samples."""
        if not self.tapped or self.rows.samples < 5:
            return self._inverted(self.equations, ALL)
        part = self._equations(SHOWN)
        tapped, inverted = self._tapped(part, SHOWN), self._inverted(part, SHOWN)
        if self.error(tapped, HELD) < self.error(inverted, HELD):
            return self._tapped(self.equations, ALL)
        return self._inverted(self.equations, ALL, start=inverted)

    def error(self, solution: Solution, which: Sequence[int]) -> float:
        """Squared error of the outputs over their variance."""
        residual = squares = count = 0.0
        total: np.ndarray | float = 0.0
        for a, y, _ in self.rows.chunks(which):
            residual += float(np.sum((self.rule.apply(predicted(a, *solution)) - y) ** 2))
            squares, total, count = squares + float(np.sum(y**2)), total + y.sum(axis=0), count + len(y)
        return residual / max(squares - float(np.sum(np.square(total))) / max(count, 1), 1e-12)

    def _equations(self, which: Sequence[int]) -> NormalEquations:
        equations = NormalEquations(self.how.ridge, self.bias, self.constrained)
        for a, _, _ in self.rows.chunks(which):
            equations.add(a)
        return equations

    def _tapped(self, equations: NormalEquations, which: Sequence[int]) -> Solution:
        return equations.solve((a, t) for a, _, t in self.rows.chunks(which))

    def _inverted(self, equations: NormalEquations, which: Sequence[int], start: Solution | None = None) -> Solution:
        found = start or equations.solve((a, self.rule.inverse(y)) for a, y, _ in self.rows.chunks(which))
        for _ in range(self.how.rounds if self.rule.weight else 0):
            now = found
            found = equations.solve(
                (a, self.rule.targets(y, predicted(a, *now))) for a, y, _ in self.rows.chunks(which)
            )
            if np.abs(found[0] - now[0]).max() <= SETTLED * np.abs(found[0]).max():
                break
        return found

    def _check_size(self) -> None:
        unknowns = self.equations.covariance.shape[-1] + self.bias
        if self.equations.count < 2 * unknowns:
            warnings.warn(
                f"Layer '{self.layer.name}' has {unknowns} unknowns for each output, but the data are only "
                f"{self.equations.count} rows (samples times positions): the weights will fit these and few others. "
                f"Give at least {10 * unknowns} rows, or a larger `ridge`.",
                stacklevel=5,
            )
        if unknowns > LARGE:
            warnings.warn(
                f"Layer '{self.layer.name}' has {unknowns} unknowns for each output: their covariance matrix takes "
                f"{unknowns**2 * 8 / 2**20:,.0f} MB. A separable or pointwise layer has fewer.",
                stacklevel=5,
            )


def _assign(layer: Any, theta: np.ndarray, offset: np.ndarray, norm: Any, equations: NormalEquations) -> None:
    for slot, array in ROWS[type(layer)].kernels(layer, theta).items():
        variable = slots.variables(layer)[slot]
        variable.assign(array.reshape(variable.shape).astype(np.float32))
    flat = offset.reshape(-1).astype(np.float32)
    if layer.use_bias:
        layer.bias.assign(flat)
    if norm is not None:
        _still(norm, theta, flat * (not layer.use_bias), flat, equations)


def _still(
    norm: layers.BatchNormalization, theta: np.ndarray, shift: np.ndarray, offset: np.ndarray, sums: NormalEquations
) -> None:
    """Sets a batch norm to the statistics of what comes in, and so that it adds ``shift`` and nothing else."""
    mean = np.einsum("bn,bno->bo", sums.mean, theta).reshape(-1) + offset - shift
    variance = np.einsum("bno,bnm,bmo->bo", theta, sums.covariance, theta, optimize=True).reshape(-1)
    norm.moving_mean.assign(mean.astype(np.float32))
    norm.moving_variance.assign(variance.astype(np.float32))
    norm.gamma.assign(np.sqrt(slots.numpy(norm.moving_variance) + norm.epsilon))
    norm.beta.assign((mean + shift).astype(np.float32))
