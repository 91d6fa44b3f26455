"""QUANTIZE stands where an op that moves numbers would change their grid."""

from passes.helpers import POOL, Chart, grid, kinds, of
from tflite_export.passes.requantize import requantize


def test_inputs_of_a_concatenation_come_onto_its_grid() -> None:
    chart = Chart()
    a, b = chart.input(2, grid=grid(0.1)), chart.input(2, grid=grid(0.2))
    after = requantize(chart.graph(chart.op("CONCATENATION", a, b, shape=(1, 4), grid=grid(0.2), axis=1)))
    assert kinds(after) == ["QUANTIZE", "CONCATENATION"]
    assert of(after, 0, -1).quantization == grid(0.2)
    assert of(after, 1, 1).name == "x1"


def test_one_quantize_serves_all_who_need_it() -> None:
    chart = Chart()
    x = chart.input(2, grid=grid(0.1))
    first = chart.op("CONCATENATION", x, x, shape=(1, 4), grid=grid(0.2), axis=1)
    second = chart.reshape(x, 1, 1, 2, grid=grid(0.2))
    after = requantize(chart.graph(first, second))
    assert kinds(after) == ["QUANTIZE", "CONCATENATION", "RESHAPE"]


def test_a_mean_is_brought_over_after_it_is_taken() -> None:
    chart = Chart()
    y = chart.op("AVERAGE_POOL_2D", chart.input(2, 2, 3, grid=grid(0.1)), grid=grid(0.2), **POOL)
    after = requantize(chart.graph(y))
    assert kinds(after) == ["AVERAGE_POOL_2D", "QUANTIZE"]
    assert of(after, 0, -1).quantization == grid(0.1)
    assert of(after, 1, -1).name == f"t{y}"


def test_equal_grids_stay_as_they_are() -> None:
    chart = Chart()
    before = chart.graph(chart.reshape(chart.input(2, grid=grid(0.1)), 1, 1, 2, grid=grid(0.1)))
    assert requantize(before) == before
