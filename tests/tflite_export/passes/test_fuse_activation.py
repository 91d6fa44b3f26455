"""Activations fuse into what computes their input."""

import pytest

from passes.helpers import Chart, assert_equal_results, grid, kinds
from tflite_export.passes.fuse_activation import fuse_activation


@pytest.mark.parametrize("activation", ["RELU", "RELU6"])
def test_a_convolution_and_a_sum_take_it(activation: str) -> None:
    chart = Chart()
    x = chart.input(2, 2, 3)
    y = chart.op(activation, chart.conv(x, 3))
    before = chart.graph(chart.op(activation, chart.op("ADD", x, y)))
    after = fuse_activation(before)
    assert kinds(after) == ["CONV_2D", "ADD"]
    assert {op.options["fused_activation_function"] for op in after.ops} == {activation}
    assert_equal_results(before, after)


def test_only_one_activation_fuses() -> None:
    chart = Chart()
    before = chart.graph(chart.op("RELU6", chart.op("RELU", chart.conv(chart.input(2, 2, 3), 2))))
    assert kinds(fuse_activation(before)) == ["CONV_2D", "RELU6"]


@pytest.mark.parametrize("obstacle", ["grid", "second reader", "not linear"])
def test_what_stands_in_between_stops_it(obstacle: str) -> None:
    chart = Chart()
    y = chart.conv(chart.input(2, 2, 3), 2, grid=grid(0.1) if obstacle == "grid" else None)
    y = chart.reshape(y, 1, 4, 2) if obstacle == "not linear" else y
    z = chart.op("RELU", y)
    before = chart.graph(*([z, y] if obstacle == "second reader" else [z]))
    assert fuse_activation(before) == before
