import tracemalloc

import numpy as np
import pytest

from tflite_export.histogram import BINS, Histogram


def of(*portions):
    histogram = Histogram()
    for portion in portions:
        histogram.add(np.asarray(portion, np.float32))
    return histogram


def test_every_value_is_counted_once():
    x = np.random.default_rng(0).normal(0, 3, 10_000).astype(np.float32)
    x[:100] = 0
    seen = of(x)
    assert (seen.low, seen.high, seen.zeros) == (x.min(), x.max(), 100)
    assert seen.counts.sum() == 9_900
    expected, _ = np.histogram(x[x != 0], (np.arange(2 * BINS + 1) - BINS) * seen.width)
    np.testing.assert_array_equal(seen.counts, expected)


def test_portions_and_order_make_no_difference():
    x = np.random.default_rng(0).standard_cauchy(5_000).astype(np.float32)
    whole = of(x)
    for seed in range(3):
        parts = np.array_split(np.random.default_rng(seed).permutation(x), 7)
        other = of(*parts)
        assert (other.low, other.high, other.width, other.zeros) == (whole.low, whole.high, whole.width, whole.zeros)
        np.testing.assert_array_equal(other.counts, whole.counts)


@pytest.mark.parametrize("x", [[0.0, 0.0], [1.0], [-1.0], [2.0**-120], [3e38, -3e38], [1.0, 1024.0, 1024.5]])
def test_edges_of_the_range_lie_in_a_bin(x):
    seen = of(x)
    assert seen.counts.sum() + seen.zeros == len(x)


def test_quantiles_are_those_of_the_values_within_a_bin():
    x = np.random.default_rng(0).normal(1, 2, 20_000).astype(np.float32)
    shares = [0.01, 0.5, 0.999]
    for found, exact in zip(of(x[:9000], x[9000:]).quantiles(shares), np.quantile(x, shares), strict=True):
        assert abs(found - exact) <= 2 * of(x).width


def test_half_zeros_put_the_median_at_zero():
    assert of(np.r_[np.zeros(50), np.arange(1, 50)]).quantiles([0.5]) == [0.0]


def test_memory_does_not_grow_with_the_values():
    rng, seen = np.random.default_rng(0), Histogram()
    seen.add(rng.normal(0, 1, 1000).astype(np.float32))
    tracemalloc.start()
    for _ in range(200):
        seen.add(rng.normal(0, 1, 1000).astype(np.float32))
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 10_000
