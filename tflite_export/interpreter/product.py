"""Matrix products of integers, exact: int8 by the loops of `linear`, int16 by the float64 BLAS."""

import numpy as np

from tflite_export.interpreter import linear


class ExactProduct:
    """``x @ weights`` for int8 codes ``x`` (rows, K) and int8 ``weights`` (K, outputs), in int32, which wraps."""

    def __init__(self, weights: np.ndarray):
        self.panels = linear.panels(weights)
        self.bias = -linear.RAISE * weights.sum(0, dtype=np.int32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The product as int32 (rows, outputs)."""
        total = np.empty((len(x), len(self.bias)), np.int32)
        linear.accumulate(np.ascontiguousarray(x), self.panels, self.bias, total)
        return total


class WideProduct:
    """``x @ weights`` for int16 codes ``x`` (rows, K), by the float64 BLAS, which is exact up to sums of 2**53."""

    def __init__(self, weights: np.ndarray):
        self.weights = weights.astype(np.float64)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The product as whole numbers in float64."""
        return x.astype(np.float64) @ self.weights
