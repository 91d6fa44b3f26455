"""Which part of a range each method covers, and that the search is worth it."""

from functools import partial

import numpy as np
import pytest

from tflite_export.calibration import snapped
from tflite_export.histogram import Histogram
from tflite_export.observers import METHODS, MeanSquaredError, MinMax, Percentile, method, squared_error
from tflite_export.passes.place_grids import affine_grid, limits

NORMAL = np.random.default_rng(0).normal(0, 1, 20_000).astype(np.float32)
OUTLIERS = np.r_[NORMAL, np.float32([40.0, -25.0])]


def seen(x):
    histogram = Histogram()
    histogram.add(x)
    return histogram


def error(x, grid):
    return float(np.mean((snapped(x, grid) - x) ** 2))


def test_min_max_covers_everything():
    grid = MinMax().choose(seen(OUTLIERS), affine_grid)
    np.testing.assert_allclose(limits(grid), (-25, 40), atol=float(grid.scale[0]))


def test_a_percentile_leaves_the_outliers_out():
    low, high = limits(Percentile(99.9).choose(seen(OUTLIERS), affine_grid))
    assert 3.0 < high < 4.5
    assert -4.5 < low < -3.0
    assert Percentile(100.0).choose(seen(OUTLIERS), affine_grid) == MinMax().choose(seen(OUTLIERS), affine_grid)


@pytest.mark.parametrize("percent", [50, 0, 101])
def test_a_percentile_must_be_one(percent):
    with pytest.raises(ValueError, match="`percent` must be over 50 and at most 100"):
        Percentile(percent)


@pytest.mark.parametrize("x", [OUTLIERS, np.maximum(OUTLIERS, 0), NORMAL**3, np.abs(NORMAL)], ids=range(4))
def test_the_search_is_near_the_best_range_there_is(x):
    found = error(x, MeanSquaredError().choose(seen(x), affine_grid))
    ends = [(low * x.min(), high * x.max()) for low in np.linspace(1, 0.02, 30) for high in np.linspace(1, 0.02, 30)]
    best = min(error(x, affine_grid(*pair)) for pair in ends)
    assert found <= error(x, MinMax().choose(seen(x), affine_grid))
    assert found <= 1.05 * best + 1e-9


def test_the_search_beats_min_max_where_tails_are_heavy():
    x = np.random.default_rng(0).laplace(0, 1, 200_000).astype(np.float32)
    found, covering = (error(x, m.choose(seen(x), affine_grid)) for m in (MeanSquaredError(), MinMax()))
    assert found < 0.8 * covering


def test_the_predicted_error_is_the_real_one():
    grid = affine_grid(-3.0, 3.0)
    found = seen(OUTLIERS)
    assert squared_error(found.centres(), found.counts, grid) / OUTLIERS.size == pytest.approx(
        error(OUTLIERS, grid), rel=0.05
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bits", [8, 16])
def test_steps_are_powers_of_two_if_asked(name, bits):
    make = partial(affine_grid, bits=bits, power_of_two=True)
    grid = METHODS[name].choose(seen(OUTLIERS), make)
    assert np.frexp(grid.scale[0])[0] == 0.5
    assert grid.bits == bits
    if name == "min_max":
        assert limits(grid)[0] <= -25 + grid.scale[0]
        assert limits(grid)[1] >= 40 - grid.scale[0]


def test_methods_come_by_name_or_as_objects():
    assert method("mse") == MeanSquaredError()
    assert method(Percentile(99)) == Percentile(99)
    with pytest.raises(ValueError, match=r"must be one of 'min_max', 'percentile', 'mse', or an object.*'entropy'"):
        method("entropy")
