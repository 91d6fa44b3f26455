import numpy as np
import pytest

from tflite_export.ir import Tensor
from tflite_export.npu.layout import map_bytes, tile_bytes, whole_bursts


@pytest.mark.parametrize(("layout", "size"), [("nhwc", 4 * 4 * 17), ("nhcwb16", 4 * 4 * 32)])
def test_seventeen_channels_fill_two_bricks(layout, size):
    assert map_bytes(Tensor("map", (1, 4, 4, 17), "int8"), layout) == size


def test_bursts_are_whole():
    assert [whole_bursts(size, 64) for size in (0, 1, 64, 65)] == [0, 64, 64, 128]


@pytest.mark.parametrize(
    ("layout", "tile", "size"),
    [
        ("nhwc", (8, 8, 32), 8 * 8 * 32),  # the whole map in one run
        ("nhwc", (2, 4, 32), 2 * 128),  # one run a row
        ("nhwc", (2, 4, 8), 2 * 4 * 64),  # one run a pixel, 8 of 64 bytes of use
        ("nhcwb16", (2, 4, 8), 2 * 1 * 64),  # one run a row of bricks
        ("nhcwb16", (2, 4, 32), 2 * 2 * 64),
    ],
)
def test_a_tile_costs_the_bursts_of_its_runs(layout, tile, size):
    extents = [np.array([extent]) for extent in tile]
    assert tile_bytes(*extents, whole=(8, 32), bits=8, layout=layout, burst=64) == [size]
