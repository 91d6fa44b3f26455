"""Linear ops on some of their channels compute those channels."""

import numpy as np
import pytest
from passes.helpers import Chart, grid

from tflite_export.interpreter import Executor
from tflite_export.interpreter.kernels import KERNELS
from tflite_export.interpreter.parts import part_of
from tflite_export.ir import Graph
from tflite_export.passes.quantize import quantize

CONV = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}


def linear(kind: str) -> Graph:
    """4 input channels, 6 filters (4 of a depthwise convolution)."""
    chart = Chart()
    x = chart.input(*(() if kind == "FULLY_CONNECTED" else (5, 5)), 4, grid=grid(0.1, 7))
    shapes = {"CONV_2D": (6, 3, 3, 4), "DEPTHWISE_CONV_2D": (1, 3, 3, 4), "FULLY_CONNECTED": (6, 4)}
    weight = chart.constant(chart.rng.normal(size=shapes[kind]).astype(np.float32))
    width = 4 if kind == "DEPTHWISE_CONV_2D" else 6
    bias = chart.constant(chart.rng.normal(size=width).astype(np.float32))
    shape = (*chart.draft.tensors[x].shape[:-1], width)
    return quantize(
        chart.graph(chart.op(kind, x, weight, bias, shape=shape, grid=grid(0.1, -3), depth_multiplier=1, **CONV))
    )


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_a_part_computes_what_the_whole_does(kind: str) -> None:
    graph = linear(kind)
    op = graph.ops[0]
    closed = np.arange(graph.tensors[op.outputs[0]].shape[-1]) % 3 == 1
    dark = closed if kind == "DEPTHWISE_CONV_2D" else np.array([True, False, False, True])
    part = part_of(op, graph.tensors, closed, dark)
    x = np.random.default_rng(0).integers(-128, 128, graph.tensors[op.inputs[0]].shape).astype(np.int8)
    x[..., dark] = 7
    (made,) = KERNELS[kind](part.op, part.tensors)(x[..., part.inputs], *(t.data for t in part.tensors[1:-1]))
    whole = Executor(graph).run([x])[graph.outputs[0]]
    np.testing.assert_array_equal(made, whole[..., ~closed])
    positions, filters = int(np.prod(whole.shape[:-1])), int((~closed).sum())
    assert part.macs == positions * filters * {"CONV_2D": 18, "DEPTHWISE_CONV_2D": 9, "FULLY_CONNECTED": 2}[kind]


def test_nothing_to_see_is_one_channel_and_nothing_to_compute_is_nothing() -> None:
    graph = linear("CONV_2D")
    assert part_of(graph.ops[0], graph.tensors, np.zeros(6, bool), np.ones(4, bool)).macs == 25 * 6 * 9
    assert part_of(graph.ops[0], graph.tensors, np.ones(6, bool), np.zeros(4, bool)).macs == 0


def test_a_grouped_convolution_stays_whole() -> None:
    chart = Chart()
    x = chart.input(5, 5, 8, grid=grid(0.1))
    weight, bias = (chart.constant(np.ones(shape, np.float32)) for shape in ((6, 3, 3, 4), (6,)))
    graph = quantize(chart.graph(chart.op("CONV_2D", x, weight, bias, shape=(1, 5, 5, 6), grid=grid(0.1), **CONV)))
    part = part_of(graph.ops[0], graph.tensors, np.ones(6, bool), np.ones(8, bool))
    assert part.macs == 25 * 6 * 36 and len(part.filters) == 6 and len(part.inputs) == 8
