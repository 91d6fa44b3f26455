import numpy as np
import pytest

from passes.helpers import Chart, grid
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
