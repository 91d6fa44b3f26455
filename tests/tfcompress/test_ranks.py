"""Ranks and the largest are those that sorting gives."""

import numpy as np
import pytest
import tensorflow as tf

from tfcompress import ranks


def normal(size):
    return np.random.default_rng(0).normal(size=size).astype("float32")


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 100_000])
def test_a_rank_is_found_without_sorting(size):
    numbers = np.abs(normal(size)) * np.float32(10.0) ** np.random.default_rng(1).integers(-30, 30, size)
    bits = numbers.astype("float32").view("int32")
    for rank in {0, size // 3, size // 2, size - 1}:
        assert int(ranks.of_rank(tf.constant(bits), rank)) == np.sort(bits)[rank]


@pytest.mark.parametrize("size", [1, 5, 1000, 70_000])
@pytest.mark.parametrize("levels", [1, 3, 2**30])
def test_the_count_is_exact_and_the_first_of_equals_stay(size, levels):
    scores = np.random.default_rng(0).integers(0, levels, size).astype("float32")
    for count in {1, size // 3 + 1, size}:
        chosen = np.array(ranks.largest(tf.constant(scores), count))
        expected = np.argsort(-scores, kind="stable")[:count]
        np.testing.assert_array_equal(np.flatnonzero(chosen), np.sort(expected))
