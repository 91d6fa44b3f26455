"""Constants behind linear ops fold into them, and codes survive."""

import numpy as np
import pytest

from passes.helpers import Chart, assert_equal_results, grid, kinds, of
from tflite_export.passes.fold_affine import fold_affine
from tflite_export.passes.linear import codes_of


def test_factor_goes_into_scales_and_its_sign_into_codes() -> None:
    chart = Chart()
    y = chart.per_channel("MUL", chart.conv(chart.input(3, 3, 4), 3), [2.0, -0.5, 0.3])
    before = chart.graph(chart.per_channel("ADD", y, [1.0, 0.0, -4.0]))
    after = fold_affine(before)
    assert kinds(after) == ["CONV_2D"]
    assert_equal_results(before, after, 1e-6)
    old, new = of(before, 0, 1), of(after, 0, 1)
    np.testing.assert_allclose(new.quantization.scale, old.quantization.scale * [2.0, 0.5, 0.3], rtol=1e-7)
    np.testing.assert_array_equal(codes_of(new), codes_of(old) * np.array([1, -1, 1]).reshape(3, 1, 1, 1))


def test_a_factor_of_zero_leaves_zero_codes_and_the_offset() -> None:
    chart = Chart()
    y = chart.per_channel("MUL", chart.conv(chart.input(3, 3, 4), 2), [0.0, 1e-42])
    after = fold_affine(chart.graph(chart.per_channel("ADD", y, [5.0, 6.0])))
    assert not of(after, 0, 1).data.any()
    assert np.all(of(after, 0, 1).quantization.scale > 0)
    np.testing.assert_array_equal(of(after, 0, 2).data, [5.0, 6.0])


def test_one_scale_becomes_one_per_channel() -> None:
    chart = Chart()
    x = chart.input(4)
    weight = chart.constant(np.array([[1, 2, 3, 4], [4, 3, 2, -1]], np.float32), grid(1.0, bits=4))
    y = chart.op("FULLY_CONNECTED", x, weight, chart.constant(np.zeros(2, np.float32)), shape=(1, 2))
    before = chart.graph(chart.per_channel("MUL", y, [0.5, 3.0]))
    after = fold_affine(before)
    np.testing.assert_array_equal(of(after, 0, 1).quantization.scale, [0.5, 3.0])
    assert_equal_results(before, after, 1e-6)


def test_the_code_128_is_refused() -> None:
    chart = Chart()
    weight = chart.constant(np.array([[-128.0]], np.float32), grid(1.0))
    y = chart.op("FULLY_CONNECTED", chart.input(1), weight, chart.constant(np.zeros(1, np.float32)))
    with pytest.raises(ValueError, match=r"the code -128 becomes 128 .* narrow_range=True"):
        fold_affine(chart.graph(chart.per_channel("MUL", y, [-1.0])))


def test_a_flipped_lowest_code_needs_one_bit_more() -> None:
    chart = Chart()
    weight = chart.constant(np.array([[-8.0]], np.float32), grid(1.0, bits=4))
    y = chart.op("FULLY_CONNECTED", chart.input(1), weight, chart.constant(np.zeros(1, np.float32)))
    after = fold_affine(chart.graph(chart.per_channel("MUL", y, [-1.0])))
    assert of(after, 0, 1).quantization.bits == 5


def test_a_weight_without_a_grid_is_scaled_in_float() -> None:
    chart = Chart()
    weight = chart.constant(np.ones((2, 3), np.float32))
    y = chart.op("FULLY_CONNECTED", chart.input(3), weight, chart.constant(np.ones(2, np.float32)), shape=(1, 2))
    before = chart.graph(chart.per_channel("MUL", y, [2.0, -3.0]))
    assert_equal_results(before, fold_affine(before), 1e-6)
    assert of(fold_affine(before), 0, 1).quantization is None


@pytest.mark.parametrize("obstacle", ["grid", "second reader", "activation"])
def test_what_stands_in_between_stops_it(obstacle: str) -> None:
    chart = Chart()
    options = {"fused_activation_function": "RELU"} if obstacle == "activation" else {}
    y = chart.conv(chart.input(3, 3, 4), 2, grid=grid(0.1) if obstacle == "grid" else None, **options)
    z = chart.per_channel("MUL", y, [2.0, 3.0])
    before = chart.graph(*([z, y] if obstacle == "second reader" else [z]))
    assert fold_affine(before) == before
