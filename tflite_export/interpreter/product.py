"""Matrix products of integers through the float32 BLAS, exact.

A float32 holds every whole number up to 2**24. A sum of products ``x[k] * w[k]`` with int8 codes ``x`` is
therefore exact, in whatever order it is added up, while

    128 * sum(|w[k]|) <= 2**24

(for int8 weights: surely up to k = 1032). Longer sums are cut into pieces that are, added in int32.
"""

from itertools import pairwise

import numpy as np

LIMIT = 2**24


class ExactProduct:
    """``x @ weights`` for int8 codes ``x`` (rows, K), held as float32, and whole ``weights`` (K, outputs)."""

    def __init__(self, weights: np.ndarray):
        length = len(weights)
        bounds = np.abs(weights.astype(np.int64))
        count = 1
        while count < length and max(128 * p.sum(0).max() for p in np.array_split(bounds, count)) > LIMIT:
            count += 1
        cuts = [0, *np.cumsum([len(p) for p in np.array_split(bounds, count)])]
        self.pieces = [(slice(a, b), weights[a:b].astype(np.float32)) for a, b in pairwise(cuts)]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The product as whole numbers: float32 if one piece holds it, else int32."""
        (where, weights), *rest = self.pieces
        total = x[:, where] @ weights
        if not rest:
            return total
        total = total.astype(np.int32)
        for where, weights in rest:
            total += (x[:, where] @ weights).astype(np.int32)
        return total


class WideProduct:
    """``x @ weights`` for int16 codes ``x`` (rows, K), by the float64 BLAS, which is exact up to sums of 2**53."""

    def __init__(self, weights: np.ndarray):
        self.weights = weights.astype(np.float64)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The product as whole numbers in float64."""
        return x.astype(np.float64) @ self.weights
