"""A border in front of a convolution becomes SAME where that means the same."""

import numpy as np
import pytest

from passes.helpers import CONV, Chart, assert_equal_results, grid, kinds
from tflite_export.ir import Graph
from tflite_export.passes.fuse_padding import fuse_padding
from tflite_export.passes.quantize import quantize


def padded(size: int, before: int, after: int, stride: int, window: int, dilation: int = 1) -> Graph:
    """An integer graph: PAD, then a VALID convolution."""
    chart = Chart()
    amounts = np.array([(0, 0), (before, after), (before, after), (0, 0)], np.int32)
    x = chart.input(size, size, 2, grid=grid(0.1, 9))
    n = size + before + after
    y = chart.op("PAD", x, chart.constant(amounts), shape=(1, n, n, 2), grid=grid(0.1, 9))
    weight = chart.constant(np.random.default_rng(0).normal(0, 1, (3, window, window, 2)).astype(np.float32))
    out = (n - (window - 1) * dilation - 1) // stride + 1
    options = {
        **CONV,
        "stride_h": stride,
        "stride_w": stride,
        "dilation_h_factor": dilation,
        "dilation_w_factor": dilation,
    }
    bias = chart.constant(np.zeros(3, np.float32))
    return quantize(
        chart.graph(chart.op("CONV_2D", y, weight, bias, shape=(1, out, out, 3), grid=grid(0.1), **options))
    )


@pytest.mark.parametrize(
    "case", [(6, 0, 1, 2, 3), (7, 1, 1, 2, 3), (5, 1, 1, 1, 3), (6, 2, 2, 1, 3, 2), (8, 1, 2, 2, 5)], ids=str
)
def test_matching_amounts_fuse_bit_for_bit(case: tuple[int, ...]) -> None:
    before = padded(*case)
    after = fuse_padding(before)
    assert kinds(after) == ["CONV_2D"]
    assert after.ops[0].options["padding"] == "SAME"
    assert_equal_results(before, after)


@pytest.mark.parametrize("case", [(6, 1, 1, 2, 3), (6, 1, 0, 2, 3), (5, 2, 2, 1, 3), (6, 1, 1, 1, 1)], ids=str)
def test_other_amounts_stay(case: tuple[int, ...]) -> None:
    before = padded(*case)
    assert fuse_padding(before) == before
