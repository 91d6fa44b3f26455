import numpy as np
import pytest

from passes.helpers import Chart, of
from tflite_export.passes.weight_grids import weight_grids

WEIGHT = np.array([[0.9, -0.3, 0.1], [0.0, 0.0, 0.0], [-0.07, 0.02, 0.01]], np.float32)


def graph(steps: object = None) -> object:
    chart = Chart()
    w, b = chart.constant(WEIGHT, steps), chart.constant(np.zeros(3, np.float32))
    return chart.graph(chart.op("FULLY_CONNECTED", chart.input(3), w, b))


@pytest.mark.parametrize(("bits", "high"), [(8, 127), (4, 7), (2, 1)])
def test_each_channels_largest_weight_is_the_highest_code(bits: int, high: int) -> None:
    grid = of(weight_grids(bits)(graph()), 0, 1).quantization
    np.testing.assert_allclose(grid.scale, np.float32([0.9 / high, 1.0, 0.07 / high]), rtol=1e-6)
    assert (grid.bits, grid.axis) == (bits, 0)


def test_powers_of_two_cover_the_weights() -> None:
    grid = of(weight_grids(8, power_of_two=True)(graph()), 0, 1).quantization
    np.testing.assert_array_equal(grid.scale, [2.0**-7, 1.0, 2.0**-10])


def test_a_grid_that_is_there_stays() -> None:
    once = weight_grids(4)(graph())
    assert weight_grids(8)(once) == once


@pytest.mark.parametrize("bits", [1, 9])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"between 2 and 8. Received: weight_bits={bits}"):
        weight_grids(bits)
