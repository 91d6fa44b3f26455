"""Distribution functions and densities, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from tfcompress.gating.priors import PRIORS, beta, normal, relaxed_bernoulli

SMALL = 10.0 ** -np.arange(1, 37)
X = np.concatenate([[0.0, 1.0], np.linspace(0, 1, 20001), SMALL, 1 - SMALL[:7]]).astype(np.float32)


@pytest.mark.parametrize(
    ("a", "b", "tolerance"), [(0.6, 0.4, 3e-7), (2, 6, 3e-7), (1, 1, 2e-7), (0.05, 0.95, 2e-7), (40, 60, 1e-6)]
)
def test_beta_is_that_of_scipy_up_to_both_ends(a, b, tolerance):
    distribution, density = beta(a, b)
    np.testing.assert_allclose(distribution(X), stats.beta(a, b).cdf(X.astype(np.float64)), rtol=0, atol=tolerance)
    inside = X[(X > 1e-20) & (X < 0.999)]
    np.testing.assert_allclose(density(inside), stats.beta(a, b).pdf(inside.astype(np.float64)), rtol=1e-4, atol=1e-9)


def test_normal_is_that_of_scipy():
    distribution, density = normal(0.3, 0.2)
    np.testing.assert_allclose(distribution(X), stats.norm(0.3, 0.2).cdf(X), atol=2e-7)
    np.testing.assert_allclose(density(X), stats.norm(0.3, 0.2).pdf(X), rtol=1e-5)


def test_a_relaxed_bernoulli_variable_is_the_sigmoid_of_scaled_logistic_noise():
    rng = np.random.default_rng(0)
    draws = 1 / (1 + np.exp(-(np.log(0.2 / 0.8) + rng.logistic(size=200_000)) / 0.25))
    distribution, density = relaxed_bernoulli(0.2, 0.25)
    x = np.linspace(0.01, 0.99, 50).astype(np.float32)
    np.testing.assert_allclose(distribution(x), np.searchsorted(np.sort(draws), x) / len(draws), atol=5e-3)
    around = np.stack([x - 1e-3, x + 1e-3])
    low, high = np.asarray(distribution(around))
    np.testing.assert_allclose(density(x), (high - low) / 2e-3, rtol=0.03)


@pytest.mark.parametrize(
    ("name", "parameters"), [("beta", (0.0, 1.0)), ("relaxed_bernoulli", (1.0, 0.2)), ("normal", (0, 0))]
)
def test_parameters_out_of_range_are_refused(name, parameters):
    with pytest.raises(ValueError, match=rf"The parameters of the prior '{name}' must be positive. Received"):
        PRIORS[name](*parameters)
