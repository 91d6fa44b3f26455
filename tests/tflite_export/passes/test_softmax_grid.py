"""A softmax has one grid in TFLite."""

import pytest

from passes.helpers import Chart, grid, kinds, of
from tflite_export.passes.softmax_grid import softmax_grid


def test_a_softmax_gets_its_grid() -> None:
    chart = Chart()
    after = softmax_grid(chart.graph(chart.op("SOFTMAX", chart.input(3), beta=1.0)))
    assert of(after, 0, -1).quantization == grid(1 / 256, -128)


def test_a_coarser_trained_grid_follows_it() -> None:
    chart = Chart()
    y = chart.op("SOFTMAX", chart.input(3), beta=1.0, grid=grid(1 / 15, 112, bits=4, low=112))
    after = softmax_grid(chart.graph(y))
    assert kinds(after) == ["SOFTMAX", "RESHAPE"]
    assert of(after, 0, -1).quantization == grid(1 / 256, -128)
    assert of(after, 1, -1).quantization == grid(1 / 15, 112, bits=4, low=112)
    assert of(after, 1, -1).name == f"t{y}"


def test_a_finer_trained_grid_is_refused_with_the_remedy() -> None:
    chart = Chart()
    y = chart.op("SOFTMAX", chart.input(3), beta=1.0, grid=grid(1 / 1000, -128))
    with pytest.raises(ValueError, match=r"'t1': a softmax delivers steps of 1/256 .* step=0.001. Take the transform"):
        softmax_grid(chart.graph(y))


def test_a_sigmoid_has_the_same_grid() -> None:
    chart = Chart()
    after = softmax_grid(chart.graph(chart.op("LOGISTIC", chart.input(3))))
    assert of(after, 0, -1).quantization == grid(1 / 256, -128)


def test_vectors_of_length_one_have_a_signed_one() -> None:
    chart = Chart()
    after = softmax_grid(chart.graph(chart.op("L2_NORMALIZATION", chart.input(3))))
    assert of(after, 0, -1).quantization == grid(1 / 128, 0)


def test_a_tanh_has_the_grid_of_the_specification_unless_another_was_trained() -> None:
    chart = Chart()
    x = chart.input(3)
    after = softmax_grid(chart.graph(chart.op("TANH", x), chart.op("TANH", x, grid=grid(0.001, 3))))
    assert [of(after, k, -1).quantization for k in (0, 1)] == [grid(1 / 128, 0), grid(0.001, 3)]
