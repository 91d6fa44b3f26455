"""Float inputs and outputs around the same integers."""

import numpy as np
import pytest

from passes.helpers import Chart, grid, kinds
from tflite_export.interpreter import Executor
from tflite_export.ir import Graph
from tflite_export.passes.float_borders import float_borders
from tflite_export.passes.quantize import quantize


def integers() -> Graph:
    chart = Chart()
    y = chart.conv(chart.input(2, 2, 3, grid=grid(0.1, 3)), 2, grid=grid(0.2, -1))
    return quantize(chart.graph(y, y))


@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("outputs", [True, False])
def test_only_the_chosen_borders_change(inputs: bool, outputs: bool) -> None:
    before = integers()
    after = float_borders(inputs, outputs)(before)
    assert kinds(after) == ["QUANTIZE"] * inputs + ["CONV_2D"] + ["DEQUANTIZE"] * outputs
    x = np.random.default_rng(0).normal(0, 4, (1, 2, 2, 3)).astype(np.float32)
    codes = np.clip(np.rint(x / np.float32(0.1)) + 3, -128, 127).astype(np.int8)
    (expected, _) = (Executor(before).run([codes])[t] for t in before.outputs)
    (first, second) = (Executor(after).run([x if inputs else codes])[t] for t in after.outputs)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, (expected + np.float32(1)) * np.float32(0.2) if outputs else expected)
