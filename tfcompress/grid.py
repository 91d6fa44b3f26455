"""The integers that a quantised tensor lies on: evenly spaced levels (affine) or a short list of values (codebook).

    affine:    value = (code - zero_point) * scale,   low <= code <= high
    codebook:  value = values[code],                  0 <= code < len(values), or a codebook for each slice

Both promise that ``decode(encode(y)) == y`` bit for bit for every tensor ``y`` that the owning Transform
delivers (law L1): decoding multiplies a whole number by a float32 scale, once, as the Transform does.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Grid:
    """An affine grid, or a codebook if ``values`` is given.

    Attributes:
        scale: Distance between neighbouring levels, float32, broadcastable to the tensor.
        bits: Width of one stored code.
        zero_point: The code that stands for 0.0.
        signed: Codes run from ``-2**(bits - 1)`` if True, from 0 if False.
        narrow_range: Drops the lowest signed code, as TFLite asks of weights.
        values: The codebook, float32, (K,), ascending; ``scale`` and ``zero_point`` then mean nothing. Codebooks of
            slices are (..., K), the axes before the last broadcastable to the tensor.
    """

    scale: np.ndarray | float = 1.0
    bits: int = 8
    zero_point: int = 0
    signed: bool = True
    narrow_range: bool = False
    values: np.ndarray | None = None

    @property
    def low(self) -> int:
        """Lowest code."""
        if self.values is not None or not self.signed:
            return 0
        return -(2 ** (self.bits - 1)) + self.narrow_range

    @property
    def high(self) -> int:
        """Highest code."""
        if self.values is not None:
            return np.shape(self.values)[-1] - 1
        return 2 ** (self.bits - self.signed) - 1

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Codes (int32) of the levels nearest to ``y`` (float, any shape)."""
        y = np.asarray(y, np.float32)
        if self.values is None:
            codes = np.rint(y / np.float32(self.scale)) + self.zero_point
            return np.clip(codes, self.low, self.high).astype(np.int32)
        values = np.asarray(self.values, np.float64)  # float32 has no middle between neighbours
        middles = (values[..., 1:] + values[..., :-1]) / 2
        if middles.ndim == 1:
            return np.searchsorted(middles, y).astype(np.int32)
        return sum(
            ((y > middles[..., k]).astype(np.int32) for k in range(middles.shape[-1])), np.zeros(y.shape, np.int32)
        )

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Values (float32) of ``codes`` (integers, any shape)."""
        if self.values is not None:
            values, codes = np.asarray(self.values, np.float32), np.asarray(codes)
            if values.ndim == 1:
                return values[codes]
            places = np.broadcast_to(values, (*codes.shape, values.shape[-1]))
            return np.take_along_axis(places, codes[..., None], axis=-1)[..., 0]
        return (np.asarray(codes) - self.zero_point).astype(np.float32) * np.asarray(self.scale, np.float32)
