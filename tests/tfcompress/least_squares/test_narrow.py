"""Networks become narrower as a whole, as far as they can."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.edits import narrow


def widths(model):
    return {layer.name: layer.kernel.shape[-1] for layer in model.layers if hasattr(layer, "kernel")}


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(64, 6, 6, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """Sixteen filters that make four different maps, so that a quarter of them is enough."""
    keras.utils.set_random_seed(0)
    made = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(16, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(24, activation="relu", name="hidden"),
            layers.Dense(3, name="out"),
        ]
    )
    conv = made.get_layer("conv")
    conv.kernel.assign(np.repeat(conv.kernel.numpy()[..., :4], 4, axis=-1))
    return made


def test_all_layers_but_the_last_lose_the_same_share(model, x):
    assert widths(narrow(model, x, 0.5, multiple_of=4)) == {"conv": 8, "hidden": 12, "out": 3}
    assert widths(model) == {"conv": 16, "hidden": 24, "out": 3}


def test_widths_are_rounded_down_to_multiples_and_never_to_nothing(model, x):
    assert widths(narrow(model, x, 0.75, multiple_of=8)) == {"conv": 8, "hidden": 16, "out": 3}
    assert widths(narrow(model, x, 0.75, multiple_of=16)) == {"conv": 16, "hidden": 16, "out": 3}


def test_what_is_not_needed_is_not_missed(model, x):
    small = narrow(model, x, 0.25, multiple_of=1, layers="conv")
    assert widths(small) == {"conv": 4, "hidden": 24, "out": 3}
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-3)


def test_layers_of_a_sum_become_narrower_together(x):
    inputs = keras.Input((6, 6, 1))
    a, b = (layers.Conv2D(8, 3, name=name)(inputs) for name in "ab")
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D()(layers.Add()([a, b]))))
    assert widths(narrow(model, x, 0.5, multiple_of=2)) == {"a": 4, "b": 4, "out": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 1.0}, "between 0 and 1"),
        ({"multiple_of": 0}, "at least 1"),
        ({"layers": "out"}, "must keep its width"),
    ],
)
def test_refuses(model, x, arguments, message):
    with pytest.raises(ValueError, match=message):
        narrow(model, x, **arguments)
