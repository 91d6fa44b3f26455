"""RESHAPEs go behind element-wise ops, so that these reach the convolution."""

import numpy as np

from passes.helpers import Chart, assert_equal_results, grid, kinds
from tflite_export import passes
from tflite_export.passes.sink_reshapes import sink_reshapes


def line(chart: Chart) -> int:
    """A convolution over a line: an image between two RESHAPEs."""
    image = chart.conv(chart.reshape(chart.input(6, 3), 1, 1, 6, 3), 4)
    return chart.reshape(image, 1, 6, 4)


def test_norm_and_activation_move_in_front() -> None:
    chart = Chart()
    x = chart.per_channel("MUL", line(chart), [1.0, 2.0, -1.0, 0.5])
    before = chart.graph(chart.op("RELU", chart.per_channel("ADD", x, [0.1, 0.2, 0.3, 0.4])))
    after = sink_reshapes(before)
    assert kinds(after) == ["RESHAPE", "CONV_2D", "MUL", "ADD", "RELU", "RESHAPE"]
    assert after.tensors[after.outputs[0]].name == before.tensors[before.outputs[0]].name
    assert_equal_results(before, after)


def test_two_in_a_row_become_one() -> None:
    chart = Chart()
    before = chart.graph(chart.reshape(chart.reshape(chart.op("RELU", chart.input(6, 4)), 1, 4, 6), 1, 24))
    after = sink_reshapes(before)
    assert kinds(after) == ["RELU", "RESHAPE"]
    assert_equal_results(before, after)


def test_a_stack_of_lines_keeps_the_outer_reshapes_only() -> None:
    chart = Chart()
    x = chart.op("RELU", line(chart))
    graph = passes.FLOAT(chart.graph(chart.reshape(chart.conv(chart.reshape(x, 1, 1, 6, 4), 2), 1, 6, 2)))
    assert kinds(graph) == ["RESHAPE", "CONV_2D", "CONV_2D", "RESHAPE"]


def test_what_changes_the_channels_stays_in_front() -> None:
    chart = Chart()
    x = chart.reshape(chart.conv(chart.input(2, 2, 3), 4), 1, 16)
    before = chart.graph(chart.per_channel("MUL", x, np.ones(16)))
    assert kinds(sink_reshapes(before)) == ["CONV_2D", "RESHAPE", "MUL"]


def test_what_a_grid_rounds_or_others_read_stays_in_front() -> None:
    rounded, shared = Chart(), Chart()
    x = rounded.reshape(rounded.conv(rounded.input(1, 6, 3), 4), 1, 6, 4, grid=grid(0.1))
    assert kinds(sink_reshapes(rounded.graph(rounded.op("RELU", x)))) == ["CONV_2D", "RESHAPE", "RELU"]
    x = line(shared)
    assert kinds(sink_reshapes(shared.graph(shared.op("RELU", x), x))) == ["RESHAPE", "CONV_2D", "RESHAPE", "RELU"]
