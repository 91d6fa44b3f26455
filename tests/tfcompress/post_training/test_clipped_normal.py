"""Moments of functions of a normal distribution, in closed form."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from tfcompress.post_training.clipped_normal import clipped, mapped

CASES = [(m, s, a, b) for m in (-2.0, 0.0, 3.0) for s in (0.3, 1.0, 4.0) for a, b in ((0, np.inf), (0, 6), (-1, 1))]


@pytest.mark.parametrize(("m", "s", "a", "b"), CASES)
def test_moments_are_those_of_samples(m, s, a, b):
    samples = np.clip(np.random.default_rng(0).normal(m, s, 200_000), a, b)
    mean, variance = clipped(np.array([m]), np.array([s**2]), a, b)
    assert abs(mean[0] - samples.mean()) < 1e-2 * s
    assert abs(variance[0] - samples.var()) < 2e-2 * s**2


def test_a_relu_of_a_standard_normal():
    mean, variance = clipped(np.zeros(1), np.ones(1), 0.0, np.inf)
    np.testing.assert_allclose(mean, 1 / np.sqrt(2 * np.pi), rtol=1e-12)
    np.testing.assert_allclose(variance, 1 / 2 - 1 / (2 * np.pi), rtol=1e-12)


def test_moments_equal_those_of_scipy():
    m, s = np.array([-1.0, 0.5]), np.array([0.7, 2.0])
    phi, below = stats.norm.pdf(-m / s), special.ndtr(m / s)
    np.testing.assert_allclose(clipped(m, s**2, 0.0, np.inf)[0], m * below + s * phi, rtol=1e-9)


def test_without_variance_the_mean_is_clipped_itself():
    mean, variance = clipped(np.array([-1.0, 0.0, 4.0, 9.0]), np.zeros(4), 0.0, 6.0)
    np.testing.assert_allclose(mean, [0, 0, 4, 6], atol=1e-5)
    np.testing.assert_allclose(variance, 0, atol=1e-9)


def test_what_is_not_known_stays_so():
    mean, variance = clipped(np.array([np.nan, 1.0]), np.array([1.0, np.nan]), 0.0, 6.0)
    assert np.isnan(mean).all() and np.isnan(variance).all()


def test_other_functions_are_integrated():
    m, s = 0.4, 1.3
    mean, variance = mapped(np.array([m]), np.array([s**2]), lambda x: x * special.expit(x))
    exact = [
        integrate.quad(lambda x, p=p: (x * special.expit(x)) ** p * stats.norm.pdf(x, m, s), -15, 15)[0] for p in (1, 2)
    ]
    np.testing.assert_allclose([mean[0], variance[0]], [exact[0], exact[1] - exact[0] ** 2], rtol=1e-6)
