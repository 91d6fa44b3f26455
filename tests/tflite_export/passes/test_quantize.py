"""The integer graph: codes, biases, and what is refused or warned of."""

import numpy as np
import pytest

from passes.helpers import Chart, grid, of
from tflite_export.ir import Quantization
from tflite_export.passes.quantize import MAX_BIAS, quantize


def dense(chart: Chart, weight: np.ndarray, bias: list[float], steps: Quantization | None, x: Quantization) -> int:
    w = chart.constant(weight.astype(np.float32), steps)
    b = chart.constant(np.array(bias, np.float32))
    rows, columns = weight.shape
    return chart.op("FULLY_CONNECTED", chart.input(columns, grid=x), w, b, shape=(1, rows), grid=grid(0.5))


def test_codes_of_a_trained_weight_are_kept_and_the_bias_has_the_product_of_the_steps() -> None:
    chart = Chart()
    codes = np.array([[3, -7, 0], [1, 2, 5]])
    steps = Quantization(np.array([0.1, 0.3], np.float32), np.zeros(2, np.int64), bits=4)
    after = quantize(chart.graph(dense(chart, codes * np.float32([[0.1], [0.3]]), [1.0, -2.0], steps, grid(0.05, -4))))
    weight, bias = of(after, 0, 1), of(after, 0, 2)
    assert (weight.dtype, bias.dtype, of(after, 0, 0).dtype, of(after, 0, -1).dtype) == (
        "int8",
        "int32",
        "int8",
        "int8",
    )
    np.testing.assert_array_equal(weight.data, codes)
    np.testing.assert_array_equal(bias.data, [200, -133])
    np.testing.assert_allclose(bias.quantization.scale, [0.005, 0.015], rtol=1e-6)
    assert not bias.quantization.zero_point.any()


def test_a_weight_without_a_grid_gets_8_bits_per_channel() -> None:
    chart = Chart()
    after = quantize(chart.graph(dense(chart, np.array([[1.0, -2.0], [0.0, 0.0]]), [0.0, 0.0], None, grid(0.1))))
    weight = of(after, 0, 1)
    np.testing.assert_allclose(weight.quantization.scale, [2 / 127, 1.0])
    np.testing.assert_array_equal(weight.data, [[64, -127], [0, 0]])


def test_a_tiny_step_is_widened_until_its_bias_fits() -> None:
    chart = Chart()
    steps = Quantization(np.array([1e-12, 0.1], np.float32), np.zeros(2, np.int64), bits=4)
    after = quantize(chart.graph(dense(chart, np.array([[5e-12], [0.5]]), [3.0, -3.0], steps, grid(0.01))))
    weight, bias = of(after, 0, 1), of(after, 0, 2)
    np.testing.assert_array_equal(weight.data, [[0], [5]])
    assert abs(int(bias.data[0])) <= MAX_BIAS * 1.000001
    np.testing.assert_allclose(bias.data * bias.quantization.scale.astype(np.float64), [3.0, -3.0], rtol=1e-6)


def test_a_step_that_is_a_power_of_two_is_widened_to_a_power_of_two() -> None:
    chart = Chart()
    scales = np.array([2.0**-40, 2.0**-40, 0.25], np.float32)
    steps = Quantization(scales, np.zeros(3, np.int64), bits=7)
    codes = np.array([[1, 64], [1, 64], [2, -4]])
    bias = [3.0, 0.001, -3.0]
    after = quantize(chart.graph(dense(chart, codes * scales[:, None], bias, steps, grid(2.0**-7))))
    weight, found = of(after, 0, 1), of(after, 0, 2)
    np.testing.assert_array_equal(np.frexp(weight.quantization.scale)[0], 0.5)
    np.testing.assert_array_equal(np.log2(weight.quantization.scale), [-21, -32, -2])  # 3 * 2**7 / 2**30, rounded up
    np.testing.assert_array_equal(weight.data, [[0, 0], [0, 0], [2, -4]])
    np.testing.assert_allclose(found.data * found.quantization.scale.astype(np.float64), bias, rtol=1e-6)


def test_a_bias_that_moves_the_output_by_its_rounding_is_warned_of() -> None:
    chart = Chart()
    y = dense(chart, np.array([[3.0]]), [0.9], grid(1.0, bits=4), grid(2.0))
    with pytest.warns(UserWarning, match=r"rounding moves 't3' by up to 1\.8 of its steps"):
        quantize(chart.graph(y))


def test_a_sum_much_finer_than_what_it_adds_is_refused() -> None:
    chart = Chart()
    y = chart.op("ADD", chart.input(2, grid=grid(1.0)), chart.input(2, grid=grid(0.5)), grid=grid(2.0**-20))
    with pytest.raises(ValueError, match=r"'t2': the step of a sum must be more than 1.91e-06"):
        quantize(chart.graph(y))


def test_a_softmax_of_next_to_nothing_is_refused() -> None:
    chart = Chart()
    y = chart.op("SOFTMAX", chart.input(2, grid=grid(2.0**-27)), grid=grid(1 / 256, -128), beta=1.0)
    with pytest.raises(ValueError, match=r"'x0': the step of a softmax's input must be more than 1.49e-08"):
        quantize(chart.graph(y))


def test_sums_that_may_wrap_around_are_warned_of() -> None:
    chart = Chart()
    y = dense(chart, np.full((1, 140_000), 127.0), [0.0], grid(1.0), grid(1.0))
    with pytest.warns(UserWarning, match="the sum of 140,000 products can reach 2.28e.09 and wrap around in int32"):
        quantize(chart.graph(y))


def test_a_constant_that_is_compared_lies_on_the_grid_of_the_other_operand() -> None:
    chart = Chart()
    bound = chart.constant(np.full((1, 1), 2.0, np.float32))
    after = quantize(chart.graph(chart.op("MINIMUM", chart.input(3, grid=grid(0.5, -10)), bound, grid=grid(0.5, -10))))
    assert of(after, 0, 1).data.tolist() == [[-6]] and of(after, 0, 1).quantization == grid(0.5, -10)


def test_slopes_get_eight_bits_unless_they_have_a_grid() -> None:
    chart = Chart()
    slopes = chart.constant(np.array([0.5, -0.25], np.float32))
    after = quantize(chart.graph(chart.op("PRELU", chart.input(2, grid=grid(0.1)), slopes, grid=grid(0.1))))
    assert of(after, 0, 1).data.tolist() == [127, -64] and of(after, 0, 1).dtype == "int8"


def test_a_transposed_convolution_keeps_the_places_of_its_operands() -> None:
    chart = Chart()
    shape, weight = chart.constant(np.array([1, 2, 2, 1], np.int32)), chart.constant(np.ones((1, 1, 1, 1), np.float32))
    bias = chart.constant(np.array([1.0], np.float32))
    x = chart.input(2, 2, 1, grid=grid(0.5))
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE"}
    graph = chart.graph(
        chart.op("TRANSPOSE_CONV", shape, weight, x, bias, shape=(1, 2, 2, 1), grid=grid(1.0), **options)
    )
    after = quantize(graph)
    assert [of(after, 0, k).dtype for k in range(4)] == ["int32", "int8", "int8", "int32"]
    assert of(after, 0, 1).data.ravel().tolist() == [127] and of(after, 0, 3).data.tolist() == [254]
