"""Multipliers beyond what the output can show."""

from dataclasses import replace

import numpy as np
import pytest

from passes.helpers import Chart, grid, run
from tflite_export.interpreter import UnsupportedOp
from tflite_export.ir import Graph
from tflite_export.passes.binary import binary_grid
from tflite_export.passes.gentle_slopes import gentle_slopes
from tflite_export.passes.quantize import quantize
from tflite_export.passes.weight_grids import weight_grids


def steep(slope: float, y_grid: object, activation: str = "RELU") -> Graph:
    """A convolution whose weights and bias are multiplied by ``slope``."""
    chart = Chart()
    y = chart.conv(chart.input(2, 2, 4, grid=grid(0.1)), 3, grid=y_grid, fused_activation_function=activation)
    graph = chart.graph(y)
    _, weight, bias = graph.ops[0].inputs
    for t in (weight, bias):
        tensor = chart.draft.tensors[t]
        scale = tensor.quantization and grid(1.0).__class__(
            (tensor.quantization.scale * slope).astype(np.float32), tensor.quantization.zero_point, axis=0, bits=4
        )
        chart.draft.change(t, data=(tensor.data * slope).astype(np.float32), quantization=scale)
    return chart.graph(y)


@pytest.mark.filterwarnings("ignore:.*so coarse that rounding moves")
@pytest.mark.parametrize("slope", [2.0**9, 2.0**12])
def test_the_codes_stay_the_same(slope: float) -> None:
    graph = steep(slope, binary_grid())
    before, after = run(quantize(graph))[0], run(quantize(gentle_slopes(graph)))[0]
    assert {*np.unique(before)} == {126, 127}
    np.testing.assert_array_equal(after, before)


@pytest.mark.filterwarnings("ignore:.*so coarse that rounding moves")
def test_a_slope_beyond_all_kernels_fits() -> None:
    graph = steep(2.0**64, binary_grid())
    with pytest.raises((UnsupportedOp, ValueError)):
        run(quantize(graph))
    gentle = gentle_slopes(graph)
    np.testing.assert_array_equal(run(quantize(gentle))[0], run(quantize(steep(2.0**12, binary_grid())))[0])
    weight = gentle.tensors[gentle.ops[0].inputs[1]]
    np.testing.assert_allclose(0.1 * weight.quantization.scale, 0.75, rtol=1e-6)


@pytest.mark.parametrize(("y_grid", "activation"), [(grid(0.1, -128), "RELU"), (binary_grid(), "NONE")])
def test_others_are_left_alone(y_grid: object, activation: str) -> None:
    graph = steep(1.0, y_grid, activation)
    assert gentle_slopes(graph) == graph


def test_a_minimum_that_alone_reads_it_lowers_the_top() -> None:
    chart = Chart()
    wide = binary_grid(wide=True)
    y = chart.conv(chart.input(2, 2, 4, grid=grid(100.0)), 3, grid=wide, fused_activation_function="RELU")
    one = chart.constant(np.ones((1, 1, 1, 1), np.float32))
    graph = gentle_slopes(chart.graph(chart.op("MINIMUM", y, one, grid=wide)))
    assert graph.tensors[graph.ops[0].inputs[1]].quantization.scale.max() == pytest.approx(0.0075)
    assert gentle_slopes(chart.graph(y)).ops[0] == chart.draft.ops[0]


def test_a_channel_without_weights_is_as_its_bias_says() -> None:
    graph = steep(2.0**64, binary_grid())
    _, weight, bias = graph.ops[0].inputs
    tensors = list(graph.tensors)
    tensors[weight] = replace(tensors[weight], data=0 * tensors[weight].data, quantization=None)
    tensors[bias] = replace(tensors[bias], data=np.array([2.0**64, -(2.0**64), 0], np.float32))
    graph = weight_grids()(replace(graph, tensors=tuple(tensors)))
    (codes,) = run(quantize(gentle_slopes(graph)))
    assert (codes == np.array([127, 126, 126])).all()
