"""Which channels do not matter, from the graph and from its numbers alone."""

import numpy as np
import pytest
from passes.helpers import POOL, Chart, grid

from tflite_export.interpreter.channel_masks import deciding, off_behind, order, switch_of, zeros
from tflite_export.ir import Graph

OFF = np.array([True, False, True])


def gated(*between: str, late: bool = True) -> tuple[Graph, int]:
    """conv, what stands ``between``, and a product with the gate, which is made last; returns the gate too."""
    chart = Chart()
    x = chart.input(4, 4, 3)
    y = chart.conv(x, 3)
    for kind in between:
        y = chart.op(kind, y, **POOL)
    mean = chart.op(
        "MEAN", x if late else y, chart.constant(np.array([1, 2], np.int32)), shape=(1, 1, 1, 3), keep_dims=True
    )
    gate = chart.conv(mean, 3)
    z = chart.conv(chart.op("MUL", y, gate), 2)
    return chart.graph(z), gate


@pytest.mark.parametrize("between", [(), ("RELU",), ("MAX_POOL_2D", "RELU"), ("RESHAPE",)], ids=str)
def test_a_gate_decides_on_the_convolution_in_front_of_it(between: tuple[str, ...]) -> None:
    graph, gate = gated(*between)
    assert deciding(graph) == {0: gate}
    kinds = [graph.ops[k].kind for k in order(graph, deciding(graph))]
    assert kinds == ["MEAN", "CONV_2D", "CONV_2D", *between, "MUL", "CONV_2D"]
    assert order(graph, {}) == list(range(len(graph.ops)))


def test_not_on_what_it_is_made_of_or_what_others_read() -> None:
    assert deciding(gated(late=False)[0]) == {}
    assert deciding(gated("SOFTMAX")[0]) == {}
    graph, _ = gated()
    assert deciding(Graph(graph.tensors, graph.ops, graph.inputs, (*graph.outputs, graph.ops[0].outputs[0]))) == {}


def test_a_gate_is_computed_and_has_one_code_for_each_channel() -> None:
    chart = Chart()
    x, gate, map_ = chart.input(4, 4, 3), chart.input(1, 1, 3), chart.input(4, 4, 3)
    ops = [chart.op("MUL", x, gate), chart.op("MUL", gate, x), chart.op("MUL", x, map_), chart.op("ADD", x, gate)]
    ops.append(chart.per_channel("MUL", x, [0.0, 1.0, 2.0]))
    graph = chart.graph(*ops)
    assert [switch_of(graph, op) for op in graph.ops] == [(x, gate), (x, gate), None, None, None]


def test_zero_is_the_zero_point_of_codes() -> None:
    graph = gated()[0]
    tensor = graph.tensors[0].__class__("t", (3,), "int8", grid(0.1, 5))
    assert zeros(tensor, np.array([5, 0, 5], np.int8)).tolist() == OFF.tolist()
    assert zeros(graph.tensors[0], np.array([0.0, 5.0, 0.0])).tolist() == OFF.tolist()


@pytest.mark.parametrize(
    ("kind", "shape", "options", "expected"),
    [
        ("MAX_POOL_2D", (1, 2, 2, 3), POOL, OFF),
        ("RESHAPE", (1, 12), {}, np.tile(OFF, 4)),
        ("RESHAPE", (1, 4, 3), {}, OFF),
        ("RESHAPE", (1, 2, 6), {}, None),
        ("ADD", (1, 2, 2, 3), {}, np.array([True, False, False])),
        ("TANH", (1, 2, 2, 3), {}, None),
    ],
)
def test_zeros_go_through_what_keeps_them(
    kind: str, shape: tuple[int, ...], options: dict, expected: np.ndarray
) -> None:
    chart = Chart()
    a, b = chart.input(2, 2, 3), chart.input(2, 2, 3)
    graph = chart.graph(chart.op(kind, a, b, shape=shape, **options))
    found = off_behind(graph, graph.ops[0], {}, {a: OFF, b: np.array([True, False, False])})
    assert (found is None) == (expected is None) and (found is None or found.tolist() == expected.tolist())
