"""Grids spread over tensors that hold the same numbers."""

import numpy as np
import pytest

from passes.helpers import POOL, Chart, grid, of
from tflite_export.passes.place_grids import affine_grid, limits, place_grids, raised


@pytest.mark.parametrize("kind", ["MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU"])
def test_a_grid_goes_forward(kind: str) -> None:
    chart = Chart()
    after = place_grids(chart.graph(chart.op(kind, chart.input(2, 2, 3, grid=grid(0.1, 5)), **POOL)))
    assert of(after, 0, -1).quantization == grid(0.1, 5)


@pytest.mark.parametrize(("kind", "expected"), [("MAX_POOL_2D", grid(0.1)), ("AVERAGE_POOL_2D", None)])
def test_a_grid_goes_backward_through_what_commutes_with_rounding(kind: str, expected: object) -> None:
    chart = Chart()
    y = chart.op(kind, chart.conv(chart.input(2, 2, 3), 2), grid=grid(0.1), **POOL)
    assert of(place_grids(chart.graph(y)), 0, -1).quantization == expected


def test_a_grid_does_not_go_backward_to_a_tensor_that_others_read() -> None:
    chart = Chart()
    y = chart.conv(chart.input(2, 2, 3), 2)
    after = place_grids(chart.graph(chart.reshape(y, grid=grid(0.1)), chart.op("RELU", y)))
    assert of(after, 0, -1).quantization is None


def test_a_concatenation_gives_its_grid_to_what_it_joins() -> None:
    chart = Chart()
    x = chart.input(2, 2, 3, grid=grid(0.3))
    y = chart.op("CONCATENATION", x, chart.conv(x, 2), shape=(1, 2, 2, 5), grid=grid(0.1), axis=3)
    after = place_grids(chart.graph(y))
    assert of(after, 0, -1).quantization == grid(0.1)
    assert of(after, 1, 0).quantization == grid(0.3)


def test_a_concatenation_of_one_grid_keeps_it() -> None:
    chart = Chart()
    a, b = (chart.input(2, grid=grid(0.3, -7, bits=4, low=-9)) for _ in range(2))
    after = place_grids(chart.graph(chart.op("CONCATENATION", a, b, shape=(1, 4), axis=1)))
    assert of(after, 0, -1).quantization == grid(0.3, -7, bits=4, low=-9)


def test_a_concatenation_takes_the_input_that_covers_the_others() -> None:
    chart = Chart()
    a, b = chart.input(2, grid=grid(0.5, -128)), chart.input(2, grid=grid(0.1, -128))
    after = place_grids(chart.graph(chart.op("CONCATENATION", a, b, shape=(1, 4), axis=1)))
    assert of(after, 0, -1).quantization == grid(0.5, -128)


def test_a_concatenation_of_overlapping_ranges_covers_both() -> None:
    chart = Chart()
    a, b = chart.input(2, grid=grid(0.5, -128)), chart.input(2, grid=grid(0.3, 0))
    after = place_grids(chart.graph(chart.op("CONCATENATION", a, b, shape=(1, 4), axis=1)))
    low, high = limits(of(after, 0, -1).quantization)
    assert low == pytest.approx(-38.4, abs=0.4)
    assert high == pytest.approx(127.5, abs=0.4)


def test_a_concatenation_of_powers_of_two_stays_one() -> None:
    chart = Chart()
    a, b = chart.input(2, grid=grid(0.5, -128)), chart.input(2, grid=grid(0.25, 0))
    joint = of(place_grids(chart.graph(chart.op("CONCATENATION", a, b, shape=(1, 4), axis=1))), 0, -1).quantization
    assert joint.scale[0] == 1.0
    assert limits(joint)[0] <= -32
    assert limits(joint)[1] >= 127.5


def test_grids_of_int16_have_no_zero_point() -> None:
    wide = affine_grid(-1.0, 3.0, bits=16)
    assert (wide.bits, wide.zero_point[0], wide.scale[0]) == (16, 0, np.float32(3 / 32767))
    assert affine_grid(-1.0, 3.0, bits=16, power_of_two=True).scale[0] == 2.0**-13
    assert affine_grid(-1.0, 2.9, power_of_two=True).scale[0] == 2.0**-6


def test_a_power_of_two_is_raised_to_itself() -> None:
    np.testing.assert_array_equal(raised(np.float32([0.25, 0.26, 3.0, 1.0])), [0.25, 0.5, 4.0, 1.0])


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-1.0, 2.0), (-3.0, -1.0), (1.0, 5.0), (0.0, 0.0), (0.0, 1e-45)])
def test_a_measured_grid_covers_its_range_and_holds_zero(low: float, high: float) -> None:
    measured = affine_grid(low, high)
    lowest, highest = limits(measured)
    step = float(measured.scale[0])
    assert lowest <= min(low, 0) + step / 2
    assert highest >= max(high, 0) - step / 2
    assert -128 <= measured.zero_point[0] <= 127
    assert np.isfinite(step) and step > 0
