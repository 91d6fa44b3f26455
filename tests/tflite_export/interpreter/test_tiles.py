"""The loops around the products, against sums written out."""

import numpy as np
import pytest

from tflite_export.interpreter.tiles import transform_inputs, transform_outputs

RNG = np.random.default_rng(0)
HIGH, WIDE = RNG.integers(-3, 4, (4, 4)), RNG.integers(-3, 4, (5, 5))


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_inputs_are_transformed_tile_by_tile(dtype):
    x = RNG.integers(-128, 128, (2, 8, 11, 3)).astype(np.int8)  # 3 x 3 tiles of 4 x 5, 2 and 3 apart
    out = np.full((20, 18, 3), 7, dtype)
    transform_inputs(x, HIGH.astype(dtype), WIDE.astype(dtype), (2, 3), out)
    tiles = np.lib.stride_tricks.sliding_window_view(x, (4, 5), (1, 2))[:, ::2, ::3].astype(np.int64)
    expected = np.einsum("pi,qj,nhwcij->pqnhwc", HIGH, WIDE, tiles).reshape(20, 18, 3)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_products_become_outputs_divided_exactly_and_cut_to_the_map(dtype):
    high, wide = HIGH[:2] * 3, WIDE[:3] * 4
    products = RNG.integers(-(2**40), 2**40, (20, 8, 6))
    out = np.full((2, 3, 5, 6), 7, np.int32)  # 2 x 2 tiles of 2 x 3, of which the last are cut
    inverse_of_three = pow(3, -1, 2**64) - 2**64
    transform_outputs(products.astype(dtype), high, wide, (inverse_of_three, 2), out)
    whole = np.einsum("ap,bq,pqnhwc->nhawbc", HIGH[:2], WIDE[:3], products.reshape(4, 5, 2, 2, 2, 6))
    np.testing.assert_array_equal(out, whole.reshape(2, 4, 6, 6)[:, :3, :5].astype(np.int32))
