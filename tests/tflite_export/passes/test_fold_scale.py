"""One positive factor folds forward into the linear ops behind it."""

import numpy as np
import pytest

from passes.helpers import Chart, assert_equal_results, grid, kinds, of
from tflite_export.passes.fold_scale import fold_scale
from tflite_export.passes.linear import codes_of


def test_a_factor_folds_into_all_readers() -> None:
    chart = Chart()
    y = chart.per_channel("MUL", chart.input(3, 3, 4), [0.25] * 4)
    before = chart.graph(chart.conv(y, 2), chart.conv(y, 3))
    after = fold_scale(before)
    assert kinds(after) == ["CONV_2D", "CONV_2D"]
    assert_equal_results(before, after, 1e-6)
    np.testing.assert_array_equal(codes_of(of(after, 0, 1)), codes_of(of(before, 1, 1)))


def test_a_trained_grid_moves_to_the_input() -> None:
    chart = Chart()
    y = chart.per_channel("MUL", chart.input(3, 3, 4), [0.25] * 4, grid=grid(0.5, 3, bits=4))
    after = fold_scale(chart.graph(chart.conv(y, 2)))
    assert of(after, 0, 0).quantization == grid(2.0, 3, bits=4)


@pytest.mark.parametrize("factors", [[-1.0] * 4, [1.0, 2.0, 2.0, 2.0], [0.0] * 4], ids=str)
def test_other_factors_stay(factors: list[float]) -> None:
    chart = Chart()
    before = chart.graph(chart.conv(chart.per_channel("MUL", chart.input(3, 3, 4), factors), 2))
    assert fold_scale(before) == before


@pytest.mark.parametrize("obstacle", ["two grids", "output", "other reader", "input read twice"])
def test_what_needs_the_product_keeps_it(obstacle: str) -> None:
    chart = Chart()
    x = chart.input(3, 3, 4, grid=grid(0.1) if obstacle == "two grids" else None)
    y = chart.per_channel("MUL", x, [0.25] * 4, grid=grid(0.1) if "grids" in obstacle or "twice" in obstacle else None)
    more = {"output": [y], "other reader": [chart.op("RELU", y)], "input read twice": [chart.conv(x, 2)]}
    before = chart.graph(chart.conv(y, 2), *more.get(obstacle, []))
    after = fold_scale(before)
    assert "MUL" in kinds(after)
