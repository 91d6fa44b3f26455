"""Two kernels in turn: the product is separable, exact where it can be, and no worse than one could be cut from."""

import numpy as np
import pytest

from tfcompress.least_squares.separable_squares import Separated

TAPS, CHANNELS, OUTPUTS = 4, 3, 5


def problem(weights, noise):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(400, TAPS * CHANNELS)) @ rng.normal(size=(TAPS * CHANNELS,) * 2)
    t = a @ weights + noise * rng.normal(size=(400, OUTPUTS))
    return a, t, (a.T @ a / 400)[None], (a.T @ t / 400)[None]


def separable(multiplier, seed=0):
    rng = np.random.default_rng(seed)
    wide, deep = rng.normal(size=(TAPS, CHANNELS, multiplier)), rng.normal(size=(CHANNELS, multiplier, OUTPUTS))
    return np.einsum("tcm,cmo->tco", wide, deep).reshape(-1, OUTPUTS)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_what_is_separable_is_found_and_taken_apart(multiplier):
    weights = separable(multiplier)
    _, _, c, m = problem(weights, 0.0)
    solver = Separated(TAPS, CHANNELS, multiplier)
    found = solver(c, m)[0]
    np.testing.assert_allclose(found, weights, atol=1e-5)
    wide, deep = solver.factors(found)
    assert wide.shape == (TAPS, CHANNELS, multiplier) and deep.shape == (CHANNELS * multiplier, OUTPUTS)
    product = np.einsum("tcm,cmo->tco", wide, deep.reshape(CHANNELS, multiplier, -1)).reshape(-1, OUTPUTS)
    np.testing.assert_allclose(product, found, atol=1e-5)


def test_what_is_not_is_fitted_better_than_by_cutting_the_free_solution():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(TAPS * CHANNELS, OUTPUTS))
    a, t, c, m = problem(weights, 0.1)
    solver = Separated(TAPS, CHANNELS, 1)
    free = np.linalg.solve(c[0], m[0])
    cut = solver._product(*solver.factors(free))
    errors = [float(np.mean((a @ w - t) ** 2)) for w in (free, solver(c, m)[0], cut)]
    assert errors[0] < errors[1] < 0.9 * errors[2]
    ranks = np.linalg.matrix_rank(solver(c, m)[0].reshape(TAPS, CHANNELS, OUTPUTS).swapaxes(0, 1), tol=1e-6)
    assert ranks.tolist() == [1, 1, 1]


def test_more_multiples_than_taps_are_zeros():
    wide, deep = Separated(2, 1, 3).factors(np.arange(8.0).reshape(2, 4))
    assert wide.shape == (2, 1, 3) and deep.shape == (3, 4)
    np.testing.assert_allclose(wide[:, 0] @ deep, np.arange(8.0).reshape(2, 4), atol=1e-9)
