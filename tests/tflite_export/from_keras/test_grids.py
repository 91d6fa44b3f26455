"""Grids of transforms become quantisations of TFLite, or the reason why not."""

import numpy as np
import pytest

from tfcompress.grid import Grid
from tflite_export.from_keras.grids import Unsupported, activation_grid, codebook_scale, weight_grid


def same(x: np.ndarray) -> np.ndarray:
    return x


@pytest.mark.parametrize(
    ("grid", "zero_point", "low"),
    [
        (Grid(0.5, 8, signed=False), -128, None),
        (Grid(0.5, 8), 0, None),
        (Grid(0.5, 8, narrow_range=True), 0, -127),
        (Grid(0.5, 4, signed=False), 112, 112),
        (Grid(0.5, 4), 120, 112),
        (Grid(0.5, 8, zero_point=77, signed=False), -51, None),
        (Grid(0.5, 3, zero_point=2, signed=False), 122, 120),
    ],
)
def test_codes_of_feature_maps_end_at_127(grid: Grid, zero_point: int, low: int | None) -> None:
    quantization = activation_grid(grid)
    assert (int(quantization.zero_point[0]), quantization.low, quantization.bits) == (zero_point, low, grid.bits)
    highest = grid.decode(np.array(grid.high))
    assert (127 - zero_point) * quantization.scale[0] == highest


def test_a_zero_that_is_no_code_is_refused() -> None:
    with pytest.raises(Unsupported, match="the zero point 20 lies outside of the codes 0 to 15"):
        activation_grid(Grid(0.5, 4, zero_point=20, signed=False))


def test_a_weight_with_a_zero_point_is_shifted_to_zero() -> None:
    grid = Grid(0.5, 4, zero_point=8, signed=False)
    quantization = weight_grid(grid, grid.decode(np.arange(16)), "kernel", 0, same)
    assert (quantization.zero_point.tolist(), quantization.bits) == ([0], 4)


def test_an_unsigned_weight_needs_one_bit_more() -> None:
    grid = Grid(0.5, 4, signed=False)
    assert weight_grid(grid, grid.decode(np.arange(16)), "kernel", 0, same).bits == 5


def test_a_weight_wider_than_8_bits_is_refused_with_the_remedy() -> None:
    grid = Grid(0.5, 12)
    with pytest.raises(Unsupported, match=r"codes of 'kernel' run from -900 to 0 \(12 bits\).*8 bits or fewer"):
        weight_grid(grid, grid.decode(np.array([-900, 0])), "kernel", 0, same)


def test_a_weight_off_its_grid_is_refused() -> None:
    with pytest.raises(Unsupported, match="'kernel' does not lie on the grid that its transform reports"):
        weight_grid(Grid(0.5, 4), np.array([0.25], np.float32), "kernel", 0, same)


def test_powers_of_two_get_codes_that_are_powers_of_two() -> None:
    values = np.array([-1, -0.25, 0, 0.03125, 0.5], np.float32) * np.float32(0.3)
    scale = codebook_scale(values, "kernel")
    np.testing.assert_array_equal(np.rint(values / scale), [-32, -8, 0, 1, 16])
    grid = weight_grid(Grid(bits=3, values=values), values[[0, 4, 2, 2]], "kernel", 0, same)
    assert grid.bits == 6


def test_a_codebook_on_whole_multiples_is_found() -> None:
    values = np.array([-5, -3, 2, 7], np.float32) * np.float32(0.125)
    assert codebook_scale(values, "kernel") == 0.125


def test_a_codebook_of_zeros_is_fine() -> None:
    assert codebook_scale(np.zeros(1), "kernel") == 1.0


def test_a_free_codebook_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="the 3 values of the codebook of 'kernel' are not whole multiples"):
        codebook_scale(np.array([-0.9173, 0.1234, 0.777]), "kernel")


def test_codebooks_of_channels_get_a_scale_each() -> None:
    values = np.float32([[-3, 1], [5, 20]]) * np.float32([[0.125], [0.5]])
    data = np.array([[-0.375, 2.5], [0.125, 10]], np.float32)
    grid = weight_grid(Grid(bits=8, values=values[None]), data, "kernel", 1, same)
    np.testing.assert_array_equal(grid.scale, [0.125, 2.5])
    assert grid.axis == 1
