import numpy as np
import pytest

from passes.helpers import Chart, grid, kinds, of
from tflite_export.passes.softmax_grid import softmax_grid
from tflite_export.passes.widen import check_trained, prescribed, widen


def test_a_softmax_and_what_moves_its_result_get_the_step_of_int16() -> None:
    chart = Chart()
    y = chart.reshape(chart.op("SOFTMAX", chart.input(4), beta=1.0), 1, 2, 2)
    graph = softmax_grid(chart.graph(y))
    wide = widen(graph)
    grids = [t.quantization for t in wide.tensors if t.data is None]
    assert grids == [None, prescribed(), prescribed()]
    assert (prescribed().scale[0], prescribed().zero_point[0], prescribed().bits) == (np.float32(2.0**-15), 0, 16)


def test_ops_without_a_kernel_are_all_named() -> None:
    chart = Chart()
    graph = chart.graph(chart.op("ELU", chart.op("HARD_SWISH", chart.input(4))))
    with pytest.raises(ValueError, match=r"'t1' \(HARD_SWISH\), 't2' \(ELU\).*activation_type='int8'"):
        widen(graph)


def test_a_kernel_that_does_not_compute_its_function_is_named_with_the_reason() -> None:
    chart = Chart()
    with pytest.raises(ValueError, match=r"'t1' \(RSQRT, whose int16 kernel draws straight lines.*int8"):
        widen(chart.graph(chart.op("RSQRT", chart.input(4))))


def test_states_of_recurrent_layers_get_the_step_of_int16_and_are_not_taken_for_trained_ones() -> None:
    chart = Chart()
    state = chart.op("ADD", chart.input(4), chart.input(4), grid=grid(1 / 128))
    graph = chart.graph(chart.op("MUL", chart.op("TANH", state, grid=grid(1 / 128)), state))
    check_trained(graph, "int16")
    assert [t.quantization for t in widen(graph).tensors] == [None, None, prescribed(), prescribed(), None]
    moved = chart.graph(chart.reshape(state, 1, 2, 2, grid=grid(1 / 128)))
    with pytest.raises(ValueError, match=r"'t6' \(8 bits\)"):
        check_trained(moved, "int16")


def test_a_grid_that_was_trained_behind_a_tanh_is_reached_from_the_one_that_its_kernel_delivers() -> None:
    chart = Chart()
    graph = widen(chart.graph(chart.op("TANH", chart.input(4), grid=grid(0.001, bits=16))))
    assert kinds(graph) == ["TANH", "RESHAPE"] and of(graph, 0, -1).quantization == prescribed()
    assert of(graph, 1, -1).quantization == grid(0.001, bits=16)


@pytest.mark.parametrize(("bits", "activation_type"), [(8, "int16"), (4, "int16"), (16, "int8"), (15, "int8")])
def test_trained_maps_of_the_other_width_are_named(bits: int, activation_type: str) -> None:
    chart = Chart()
    graph = chart.graph(chart.op("RELU", chart.input(4, grid=grid(0.1, bits=bits)), grid=grid(0.2, bits=bits)))
    with pytest.raises(ValueError, match=rf"activation_type='{activation_type}'.*'x0' \({bits} bits\), 't1'"):
        check_trained(graph, activation_type)


@pytest.mark.parametrize(("bits", "activation_type"), [(8, "int8"), (3, "int8"), (16, "int16"), (15, "int16")])
def test_trained_maps_that_fit_pass(bits: int, activation_type: str) -> None:
    chart = Chart()
    check_trained(chart.graph(chart.op("RELU", chart.input(4, grid=grid(0.1, bits=bits)))), activation_type)
