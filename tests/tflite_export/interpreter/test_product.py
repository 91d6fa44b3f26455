import numpy as np
import pytest

from tflite_export.interpreter.product import ExactProduct, WideProduct


@pytest.mark.parametrize("length", [1, 1032, 1033, 5000, 20_000])
def test_longest_sums_of_extremes_are_exact(length):
    x, weights = np.full((2, length), -128, np.float32), np.full((length, 3), -128, np.int8)
    weights[0] = 127
    exact = x.astype(np.int64) @ weights.astype(np.int64)
    np.testing.assert_array_equal(ExactProduct(weights)(x), exact)


def test_small_weights_need_no_split_however_many():
    weights = np.ones((100_000, 1), np.int8)
    product = ExactProduct(weights)
    assert len(product.pieces) == 1
    assert product(np.full((1, 100_000), 127, np.float32)) == 12_700_000


def test_pieces_are_as_few_as_the_bound_allows():
    assert len(ExactProduct(np.full((2048, 1), -128, np.int8)).pieces) == 2


def test_products_of_int16_are_exact():
    rng = np.random.default_rng(0)
    x, weights = rng.choice([-(2**15), 2**15 - 1], (3, 4000)), rng.choice([-128, 127], (4000, 2))
    np.testing.assert_array_equal(WideProduct(weights)(x.astype(np.int16)), x.astype(np.int64) @ weights)
