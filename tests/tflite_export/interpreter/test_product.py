import numpy as np
import pytest

from tflite_export.interpreter.product import ExactProduct, WideProduct


@pytest.mark.parametrize("length", [1, 1032, 1033, 20_000])
def test_longest_sums_of_extremes_are_exact(length):
    x, weights = np.full((2, length), -128, np.int8), np.full((length, 3), -128, np.int8)
    weights[0] = 127
    np.testing.assert_array_equal(ExactProduct(weights)(x), x.astype(np.int64) @ weights.astype(np.int64))


def test_rows_may_lie_apart():
    rng = np.random.default_rng(0)
    x, weights = rng.integers(-128, 128, (9, 30)).astype(np.int8)[::2, ::3], rng.integers(-128, 128, (10, 40))
    np.testing.assert_array_equal(ExactProduct(weights.astype(np.int8))(x), x.astype(np.int64) @ weights)


def test_sums_beyond_int32_wrap():
    x, weights = np.full((1, 140_000), -128, np.int8), np.full((140_000, 1), -128, np.int8)
    assert ExactProduct(weights)(x) == 128 * 128 * 140_000 - 2**32


def test_products_of_int16_are_exact():
    rng = np.random.default_rng(0)
    x, weights = rng.choice([-(2**15), 2**15 - 1], (3, 4000)), rng.choice([-128, 127], (4000, 2))
    np.testing.assert_array_equal(WideProduct(weights)(x.astype(np.int16)), x.astype(np.int64) @ weights)
