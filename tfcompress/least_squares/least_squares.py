r"""Least squares by normal equations, summed up in float64 as the data go by.

    W, b = argmin sum_r |W' a_r + b - t_r|**2 + ridge * trace(C) / n * |W|**2
         = (C + ridge * trace(C) / n)^-1 Cov(a, t),  mean(t) - W' mean(a),         C = Cov(a), n by n

``b`` is not in the way: it follows from the means, and the ridge does not shrink it. Without bias, C is the second
moment about 0. Inputs that never change get the weight 0. Several problems of the same size, *blocks*, are solved side
by side: the groups of a convolution, the channels of a depthwise one.

    a (rows, blocks, n),  t (rows, blocks, outputs)    ->    W (blocks, n, outputs),  b (blocks, outputs)
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np

Constrained = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``(regularised C, Cov(a, t)) -> W``, for weights that are not free."""

DEAD = 1e-10
"""Inputs whose variance is below this share of their mean square do not change."""


class NormalEquations:
    """The sums, and what follows from them.

    Args:
        ridge: Weight of the penalty, relative to the mean variance of an input.
        bias: Whether there is a ``b``.
        constrained: What finds W; None for the inverse of C.

    Attributes:
        count: Rows so far.
        mean: Of the inputs, (blocks, n); zero without bias.
        covariance: C, (blocks, n, n).
    """

    def __init__(self, ridge: float, bias: bool, constrained: Constrained | None = None) -> None:
        self.ridge, self.bias, self.constrained = ridge, bias, constrained
        self.count = 0
        self._products: np.ndarray | float = 0.0
        self._sum: np.ndarray | float = 0.0
        self._solver: Callable[[np.ndarray], np.ndarray] | None = None

    def add(self, a: np.ndarray) -> None:
        """Adds rows."""
        self.count += len(a)
        self._sum = self._sum + a.sum(axis=0)
        self._products = self._products + np.matmul(a.transpose(1, 2, 0), a.transpose(1, 0, 2))
        self._solver = None

    @property
    def mean(self) -> np.ndarray:
        """Of the inputs, zero without bias."""
        return np.asarray(self._sum) * (self.bias / self.count)

    @property
    def covariance(self) -> np.ndarray:
        """C."""
        return np.asarray(self._products) / self.count - self.mean[:, :, None] * self.mean[:, None, :]

    def solve(self, rows: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """W and b for rows that were all added, with their targets."""
        products: np.ndarray | float = 0.0
        total: np.ndarray | float = 0.0
        for a, t in rows:
            products = products + np.matmul(a.transpose(1, 2, 0), t.transpose(1, 0, 2))
            total = total + t.sum(axis=0)
        mean = np.asarray(total) * (self.bias / self.count)
        moment = np.asarray(products) / self.count - self.mean[:, :, None] * mean[:, None, :]
        weights = self._solved(moment)
        return weights, mean - np.einsum("bn,bno->bo", self.mean, weights)

    def _solved(self, moment: np.ndarray) -> np.ndarray:
        covariance = self.covariance
        variances = np.einsum("bnn->bn", covariance)
        live = (variances > DEAD * (variances + self.mean**2))[..., None]
        if self._solver is None:
            level = self.ridge * variances.mean(axis=-1)[:, None, None] + ~live  # a dead input's own place in C is free
            self._solver = self._made(covariance + level * np.eye(covariance.shape[-1]))
        return self._solver(moment * live) * live

    def _made(self, regular: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        if self.constrained is not None:
            return functools.partial(self.constrained, regular)
        return functools.partial(np.matmul, np.linalg.inv(regular))  # once, for the many targets of a ReLU


def predicted(a: np.ndarray, weights: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """``W' a + b``, (rows, blocks, outputs)."""
    return np.matmul(a.transpose(1, 0, 2), weights).transpose(1, 0, 2) + offset
