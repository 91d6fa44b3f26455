"""Zeros and ones."""

import numpy as np

from passes.helpers import Chart, grid, of
from tflite_export.passes.binary import binary_grid, is_binary, switched
from tflite_export.passes.clamp_narrow import clamp_narrow
from tflite_export.passes.place_grids import limits, place_grids
from tflite_export.passes.quantize import quantize
from tflite_export.passes.requantize import requantize
from tflite_export.passes.widen import check_trained, widen


def product(gate_grid: object, x_grid: object = None, y_grid: object = None) -> tuple[Chart, int]:
    chart = Chart()
    x = chart.conv(chart.input(2, 2, 3, grid=grid(0.1)), 3, grid=x_grid)
    gate = chart.conv(chart.input(1, 1, 3, grid=grid(0.1)), 3, grid=gate_grid, fused_activation_function="RELU")
    return chart, chart.op("MUL", x, gate, grid=y_grid)


def test_the_grid_holds_zero_and_one_and_nothing_else() -> None:
    assert limits(binary_grid()) == (0.0, 1.0)
    assert is_binary(binary_grid()) and is_binary(binary_grid(wide=True))
    assert not is_binary(grid(1.0, 126)) and not is_binary(grid(1.0, bits=16)) and not is_binary(None)


def test_a_product_with_it_has_the_grid_of_the_other_factor() -> None:
    chart, y = product(binary_grid(), x_grid=grid(0.3, 5))
    graph = chart.graph(y)
    assert switched(graph, graph.ops[-1]) == graph.ops[0].outputs[0]
    assert of(place_grids(graph), -1, -1).quantization == grid(0.3, 5)
    chart, y = product(grid(0.2), x_grid=grid(0.3, 5))
    assert of(place_grids(chart.graph(y)), -1, -1).quantization is None


def test_its_grid_goes_backward_to_the_other_factor() -> None:
    chart, y = product(binary_grid(), y_grid=grid(0.3, 5))
    assert of(place_grids(chart.graph(y)), 0, -1).quantization == grid(0.3, 5)


def test_where_both_have_grids_the_factor_is_brought_over_first() -> None:
    chart, y = product(binary_grid(), x_grid=grid(0.3), y_grid=grid(0.2))
    graph = requantize(chart.graph(y))
    assert [op.kind for op in graph.ops] == ["CONV_2D", "CONV_2D", "QUANTIZE", "MUL"]


def test_a_product_of_a_narrow_map_needs_no_clamp() -> None:
    narrow = grid(0.1, 112, bits=4, low=112)
    chart, y = product(binary_grid(), x_grid=narrow, y_grid=narrow)
    assert [op.kind for op in clamp_narrow(quantize(chart.graph(y))).ops] == ["CONV_2D", "CONV_2D", "MUL"]


def test_int16_has_zeros_and_ones_too() -> None:
    chart, y = product(binary_grid())
    graph = chart.graph(y)
    wide = widen(graph)
    assert of(wide, 1, -1).quantization == binary_grid(wide=True)
    chart = Chart()
    gate = chart.op("MINIMUM", chart.input(3), chart.constant(np.ones(1, np.float32)), grid=binary_grid())
    check_trained(chart.graph(gate), "int16")
    check_trained(chart.graph(gate), "int8")
