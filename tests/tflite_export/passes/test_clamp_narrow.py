"""Narrow feature maps stay within their codes."""

import numpy as np
import pytest

from passes.helpers import POOL, Chart, grid, kinds, of, run
from tflite_export.ir import Graph
from tflite_export.passes.clamp_narrow import clamp_narrow
from tflite_export.passes.quantize import quantize

UNSIGNED = grid(0.1, 112, bits=4, low=112)
SIGNED = grid(0.1, 120, bits=4, low=112)


def integers(chart: Chart, y: int) -> Graph:
    return clamp_narrow(quantize(chart.graph(y)))


def test_a_convolution_clamps_an_unsigned_map_by_a_relu() -> None:
    chart = Chart()
    after = integers(chart, chart.conv(chart.input(3, 3, 4, grid=grid(0.1)), 3, grid=UNSIGNED))
    assert kinds(after) == ["CONV_2D"]
    assert after.ops[0].options["fused_activation_function"] == "RELU"
    (codes,) = run(after)
    assert (codes.min(), codes.max()) == (112, 127)


def test_a_signed_map_needs_one_maximum() -> None:
    chart = Chart()
    y = chart.conv(chart.input(3, 3, 4, grid=grid(0.1)), 3, grid=SIGNED)
    after = integers(chart, y)
    assert kinds(after) == ["CONV_2D", "MAXIMUM"]
    assert of(after, 0, -1).name == f"t{y}/unclamped"
    assert of(after, 1, -1).name == f"t{y}"
    assert of(after, 1, -1).quantization == SIGNED
    (codes,) = run(after)
    assert (codes.min(), codes.max()) == (112, 127)


def test_a_fused_relu_is_enough_for_a_signed_map() -> None:
    chart = Chart()
    x = chart.input(3, 3, 4, grid=grid(0.1))
    after = integers(chart, chart.conv(x, 3, grid=SIGNED, fused_activation_function="RELU6"))
    assert kinds(after) == ["CONV_2D"]


def test_movers_of_a_clamped_map_need_nothing() -> None:
    chart = Chart()
    y = chart.conv(chart.input(3, 3, 4, grid=grid(0.1)), 3, grid=UNSIGNED)
    y = chart.op("MAX_POOL_2D", y, grid=UNSIGNED, **POOL)
    assert kinds(integers(chart, chart.reshape(y, 1, 27, grid=UNSIGNED))) == ["CONV_2D", "MAX_POOL_2D", "RESHAPE"]


def test_a_quantize_onto_a_narrow_map_is_clamped() -> None:
    chart = Chart()
    after = integers(chart, chart.op("QUANTIZE", chart.input(3, grid=grid(0.2)), grid=UNSIGNED))
    assert kinds(after) == ["QUANTIZE", "MAXIMUM"]


def test_an_input_is_clamped() -> None:
    chart = Chart()
    x = chart.input(3, grid=UNSIGNED)
    after = integers(chart, chart.reshape(x, 1, 1, 3, grid=UNSIGNED))
    assert kinds(after) == ["MAXIMUM", "RESHAPE"]
    assert after.tensors[after.inputs[0]].name == "x0/unclamped"
    assert run(after)[0].min() == 112


@pytest.mark.parametrize("chosen", [grid(0.1, -128), grid(0.1)])
def test_full_maps_need_nothing(chosen: object) -> None:
    chart = Chart()
    before = quantize(chart.graph(chart.conv(chart.input(3, 3, 4, grid=grid(0.1)), 3, grid=chosen)))
    assert clamp_narrow(before) == before


def test_codes_that_were_inside_are_unchanged() -> None:
    chart = Chart()
    before = quantize(chart.graph(chart.conv(chart.input(3, 3, 4, grid=grid(0.1)), 3, grid=SIGNED)))
    (free,), (clamped,) = run(before), run(clamp_narrow(before))
    np.testing.assert_array_equal(clamped, np.maximum(free, 112))
