"""RESHAPEs that do nothing go."""

from passes.helpers import Chart, assert_equal_results, grid, kinds, of
from tflite_export.passes.drop_reshapes import drop_reshapes


def test_the_maker_delivers_under_the_later_name() -> None:
    chart = Chart()
    y = chart.reshape(chart.conv(chart.input(2, 2, 3), 2))
    before = chart.graph(y)
    after = drop_reshapes(before)
    assert kinds(after) == ["CONV_2D"]
    assert of(after, 0, -1).name == f"t{y}"
    assert_equal_results(before, after)


def test_an_input_takes_the_later_name() -> None:
    chart = Chart()
    y = chart.reshape(chart.input(3))
    after = drop_reshapes(chart.graph(chart.op("RELU", y)))
    assert kinds(after) == ["RELU"]
    assert after.tensors[after.inputs[0]].name == f"t{y}"


def test_a_tensor_that_others_read_keeps_its_name() -> None:
    chart = Chart()
    x = chart.op("RELU", chart.input(3))
    before = chart.graph(chart.op("RELU6", chart.reshape(x)), x)
    after = drop_reshapes(before)
    assert kinds(after) == ["RELU", "RELU6"]
    assert of(after, 0, -1).name == f"t{x}"
    assert_equal_results(before, after)


def test_the_way_from_an_input_to_an_output_stays() -> None:
    chart = Chart()
    before = chart.graph(chart.reshape(chart.input(3)))
    assert drop_reshapes(before) == before


def test_a_change_of_grid_stays() -> None:
    chart = Chart()
    before = chart.graph(chart.op("RELU", chart.reshape(chart.input(3, grid=grid(0.1)), grid=grid(0.2))))
    assert drop_reshapes(before) == before


def test_a_change_of_shape_stays() -> None:
    chart = Chart()
    before = chart.graph(chart.reshape(chart.reshape(chart.input(4, 3), 1, 12), 1, 2, 6))
    assert drop_reshapes(before) == before
