"""How feature maps lie in memory, and what cutting a tile out of one costs in whole bursts.

    nhwc:     pixel after pixel. A tile of all channels and full rows is one run, of all channels one run a row, of
              some channels one run a pixel.
    nhcwb16:  row by row of bricks of 16 channels, the last one padded. A tile is one run for each row of bricks.

A run of ``r`` bytes costs ``ceil(r / burst) * burst``.
"""

import math
from typing import TypeVar

import numpy as np

from tflite_export.ir import Tensor
from tflite_export.npu.loops import ceil_div
from tflite_export.npu.weights import BITS

BRICK = 16

Size = TypeVar("Size", int, np.ndarray)


def map_bytes(tensor: Tensor, layout: str) -> int:
    """Bytes that a feature map occupies."""
    channels = tensor.shape[-1] if tensor.shape else 1
    if layout == "nhcwb16":
        channels = ceil_div(channels, BRICK) * BRICK
    return ceil_div(math.prod(tensor.shape[:-1]) * channels * BITS[tensor.dtype], 8)


def whole_bursts(run_bytes: Size, burst: int) -> Size:
    """Bytes on the bus for one run, an integer or an array of them."""
    return -(-run_bytes // burst) * burst


def tile_bytes(
    rows: np.ndarray,
    columns: np.ndarray,
    channels: np.ndarray,
    whole: tuple[int, int],
    bits: int,
    layout: str,
    burst: int,
) -> np.ndarray:
    """Bytes on the bus for a tile of ``rows x columns x channels`` of a map with ``whole`` = (columns, channels)."""
    if layout == "nhcwb16":
        bricks = -(-channels // BRICK)
        return rows * bricks * whole_bursts(_bytes(columns * BRICK, bits), burst)
    by_pixel = rows * columns * whole_bursts(_bytes(channels, bits), burst)
    by_row = rows * whole_bursts(_bytes(columns * channels, bits), burst)
    at_once = whole_bursts(_bytes(rows * columns * channels, bits), burst)
    return np.where(channels < whole[1], by_pixel, np.where(columns < whole[0], by_row, at_once))


def _bytes(elements: np.ndarray, bits: int) -> np.ndarray:
    return -(-elements * bits // 8)
