"""MINIMUMs that clip nothing."""

import numpy as np
import pytest

from passes.helpers import Chart, assert_equal_results, grid, kinds
from tflite_export.ir import Graph
from tflite_export.passes.drop_clamps import drop_clamps
from tflite_export.passes.quantize import quantize


def clipped(highest: float, others: bool = False) -> Graph:
    """A convolution on the grid of -6.4 to 6.35, behind it a MINIMUM."""
    chart = Chart()
    y = chart.conv(chart.input(2, 2, 4, grid=grid(0.1)), 3, grid=grid(0.05))
    z = chart.op("MINIMUM", y, chart.constant(np.full((1, 1, 1, 1), highest, np.float32)), grid=grid(0.05))
    return quantize(chart.graph(z, *([y] if others else [])))


@pytest.mark.parametrize("highest", [6.35, 100.0])
def test_a_constant_at_the_top_of_the_type_goes(highest: float) -> None:
    graph = clipped(highest)
    after = drop_clamps(graph)
    assert kinds(after) == ["CONV_2D"] and after.tensors[after.outputs[0]].name == "t5"
    assert_equal_results(graph, after)


@pytest.mark.parametrize("graph", [clipped(6.3), clipped(100.0, others=True)], ids=["clips", "read twice"])
def test_what_does_something_stays(graph: Graph) -> None:
    assert drop_clamps(graph) == graph
