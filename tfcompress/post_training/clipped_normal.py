r"""Mean and variance of a function of a normally distributed number.

    x ~ N(m, s^2),  y = clip(x, a, b),    A = (a - m) / s,  B = (b - m) / s

    E[y]   = a Phi(A) + b (1 - Phi(B)) + m (Phi(B) - Phi(A)) + s (phi(A) - phi(B))
    E[y^2] = a^2 Phi(A) + b^2 (1 - Phi(B)) + (m^2 + s^2) (Phi(B) - Phi(A))
             + 2 m s (phi(A) - phi(B)) + s^2 (A phi(A) - B phi(B))

``phi`` is the normal density, ``Phi`` its integral. Other functions are integrated numerically.

Reference: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
https://arxiv.org/abs/1906.04721, appendix C. Differs from the source in the second moment, which tells what a sum of
branches does to the ReLU behind it.
"""

import math
from collections.abc import Callable

import numpy as np

Moments = tuple[np.ndarray, np.ndarray]
"""Mean and variance of each channel, NaN where they are not known."""

REACH = np.linspace(-8, 8, 1601)
"""Deviations from the mean at which a function is asked."""


def clipped(mean: np.ndarray, variance: np.ndarray, low: float, high: float) -> Moments:
    """Mean and variance of ``clip(x, low, high)``; limits may be infinite, a variance zero."""
    s = np.maximum(np.sqrt(variance), 1e-12 + 1e-6 * np.abs(mean))
    bounds, parts = (low, high), []
    for bound in bounds:
        z = (bound - mean) / s
        finite = np.isfinite(bound)
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) if finite else np.zeros_like(s)
        parts.append((_below(z), density, z * density if finite else density, bound if finite else 0.0))
    (below, phi_a, a_phi_a, a), (inside, phi_b, b_phi_b, b) = parts
    above, inside, slope = 1 - inside, inside - below, s * (phi_a - phi_b)
    first = a * below + b * above + mean * inside + slope
    second = a**2 * below + b**2 * above + (mean**2 + s**2) * inside + 2 * mean * slope + s**2 * (a_phi_a - b_phi_b)
    return first, np.maximum(second - first**2, 0.0)


def mapped(mean: np.ndarray, variance: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> Moments:
    """Mean and variance of ``function(x)``, which takes an array (points, channels) number by number."""
    weights = np.exp(-(REACH**2) / 2)
    y = function(mean + REACH[:, None] * np.sqrt(variance))
    first = weights @ y / weights.sum()
    return first, np.maximum(weights @ y**2 / weights.sum() - first**2, 0.0)


def _below(z: np.ndarray) -> np.ndarray:
    """How likely a normal number is below ``z``."""
    return np.asarray(np.vectorize(math.erfc, otypes=[np.float64])(-z / math.sqrt(2)) / 2)
