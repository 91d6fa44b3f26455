"""What does not fold becomes a 1x1 depthwise convolution."""

import numpy as np
import pytest

from passes.helpers import Chart, assert_equal_results, grid, kinds, of
from tflite_export.passes.affine_to_depthwise import affine_to_depthwise
from tflite_export.passes.linear import codes_of


@pytest.mark.parametrize("shape", [(2, 3, 3), (3,), (4, 3)], ids=str)
def test_every_rank_is_served_by_one_convolution(shape: tuple[int, ...]) -> None:
    chart = Chart()
    y = chart.per_channel("MUL", chart.op("RELU", chart.input(*shape)), [2.0, -0.5, 0.0])
    before = chart.graph(chart.per_channel("ADD", y, [0.5, 1.0, -3.0]))
    after = affine_to_depthwise(before)
    around = [] if len(shape) == 3 else ["RESHAPE"]
    assert kinds(after) == ["RELU", *around, "DEPTHWISE_CONV_2D", *around]
    assert_equal_results(before, after, 1e-6)


def test_a_power_of_two_stays_one() -> None:
    chart = Chart()
    after = affine_to_depthwise(chart.graph(chart.per_channel("MUL", chart.input(2, 2, 3), [2.0, -0.25, 1.0])))
    weight = of(after, 0, 1)
    np.testing.assert_array_equal(weight.quantization.scale, [2.0**-5, 2.0**-8, 2.0**-6])
    np.testing.assert_array_equal(codes_of(weight).reshape(-1), [64, -64, 64])


def test_a_chain_becomes_one_convolution_and_a_grid_ends_it() -> None:
    chart = Chart()
    y = chart.per_channel("ADD", chart.input(2, 2, 2), [1.0, 2.0])
    y = chart.per_channel("MUL", y, [3.0, 0.5], grid=grid(0.1))
    y = chart.per_channel("MUL", y, [2.0, 2.0])
    before = chart.graph(chart.per_channel("ADD", y, [1.0, 1.0]))
    after = affine_to_depthwise(before)
    assert kinds(after) == ["DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D"]
    assert of(after, 0, -1).quantization == grid(0.1)
    assert_equal_results(before, after, 1e-6)
