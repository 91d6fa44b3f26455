"""The loops around the products of a generated convolution (`winograd`), compiled by Numba on first use.

Maps are cut into tiles of m x m outputs, which read n x n inputs each; tiles of a batch are counted image by image, row
by row. Positions in the transformed tile come first, so that each is one matrix product over all tiles.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def transform_inputs(
    x: np.ndarray, high: np.ndarray, wide: np.ndarray, steps: tuple[int, int], out: np.ndarray
) -> None:
    """``out = high @ d @ wide.T`` for each tile ``d`` of ``x`` and each channel.

    Args:
        x: int8 (N, H, W, C), with all that the tiles read.
        high: (n_h, n_h), in the type of ``out``.
        wide: (n_w, n_w), likewise.
        steps: From tile to tile, vertical and horizontal; as many tiles as fit.
        out: float64 or int64 (n_h * n_w, N * tiles, C).
    """
    images, height, width, channels = x.shape
    n_h, n_w = len(high), len(wide)
    down, across = (height - n_h) // steps[0] + 1, (width - n_w) // steps[1] + 1
    lines = np.empty((n_w, channels), out.dtype)
    tile = 0
    for image in range(images):
        for row in range(down):
            for column in range(across):
                top, left = row * steps[0], column * steps[1]
                for i in range(n_h):
                    lines[:] = 0
                    for k in range(n_h):
                        factor = high[i, k]
                        if factor != 0:
                            for j in range(n_w):
                                for c in range(channels):
                                    lines[j, c] += factor * x[image, top + k, left + j, c]
                    for j in range(n_w):
                        result = out[i * n_w + j, tile]
                        result[:] = 0
                        for k in range(n_w):
                            factor = wide[j, k]
                            if factor != 0:
                                for c in range(channels):
                                    result[c] += factor * lines[k, c]
                tile += 1


@njit(cache=True)
def transform_outputs(
    products: np.ndarray, high: np.ndarray, wide: np.ndarray, division: tuple[int, int], out: np.ndarray
) -> None:
    """``out = high @ M @ wide.T / scale`` for each tile ``M`` of products and each channel, in wrapping int64.

    Args:
        products: Whole numbers (n_h * n_w, N * tiles, O).
        high: int64 (m_h, n_h).
        wide: int64 (m_w, n_w).
        division: Factor and right shift, which divide multiples of the scale.
        out: int32 (N, rows, columns, O); the last tiles may reach beyond.
    """
    factor, shift = division
    images, rows, columns, channels = out.shape
    (m_h, n_h), (m_w, n_w) = high.shape, wide.shape
    lines = np.empty((n_w, channels), np.int64)
    total = np.empty(channels, np.int64)
    tile = 0
    for image in range(images):
        for top in range(0, rows, m_h):
            for left in range(0, columns, m_w):
                for a in range(min(m_h, rows - top)):
                    lines[:] = 0
                    for k in range(n_h):
                        weight = high[a, k]
                        if weight != 0:
                            for j in range(n_w):
                                for c in range(channels):
                                    lines[j, c] += weight * np.int64(products[k * n_w + j, tile, c])
                    for b in range(min(m_w, columns - left)):
                        total[:] = 0
                        for k in range(n_w):
                            weight = wide[b, k]
                            if weight != 0:
                                for c in range(channels):
                                    total[c] += weight * lines[k, c]
                        for c in range(channels):
                            out[image, top + a, left + b, c] = np.int32((total[c] * factor) >> shift)
                tile += 1
