"""A Dense layer behind Flatten loses the places, not what it knows."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.edits import pool_flattened


def network(size=7, behind=()):
    keras.utils.set_random_seed(0)
    parts = [layers.Flatten(name="flat"), layers.Dense(5, activation="relu", name="dense"), *behind]
    return keras.Sequential([keras.Input((size, size, 2)), *parts, layers.Dense(3, name="out")])


def images(size=7, count=128):
    """Neighbours in blocks of two are equal, so that pooling loses nothing but the odd edge."""
    small = np.random.default_rng(0).random((count, (size + 1) // 2, (size + 1) // 2, 2)).astype(np.float32)
    return small.repeat(2, axis=1).repeat(2, axis=2)[:, :size, :size]


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_where_neighbours_are_equal_nothing_changes(pooling):
    model, x = network(), images()
    small = pool_flattened(model, x, pooling=pooling, padding="same")
    assert small.get_layer("dense").kernel.shape == (4 * 4 * 2, 5) and model.get_layer("dense").kernel.shape[0] == 98
    assert [layer.name for layer in small.layers] == ["flat_pool", "flat", "dense", "out"]
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-3)


def test_valid_padding_leaves_out_the_last_place():
    assert pool_flattened(network(), images(), size=3).get_layer("dense").kernel.shape == (2 * 2 * 2, 5)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (network, {"size": 1}, "at least 2"),
        (network, {"pooling": "min"}, "'min'"),
        (lambda: network(size=2), {"size": 3}, "Received: none"),
    ],
)
def test_refuses(make, arguments, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        pool_flattened(model, images(model.input_shape[1]), **arguments)
