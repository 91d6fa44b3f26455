"""Narrow: the cheapest channels go, and readers make up for them. Wide: the same function, with more to learn."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.edits import introduce_layer, remove_channels
from tfcompress.least_squares.change_width import Costs, Width
from tfcompress.least_squares.fit_layer import Fitting
from tfcompress.least_squares.sampled_rows import Signals


def images(count=400, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 6, 6, 3)).astype(np.float32)


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = stem = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="wide")(x)
    x = layers.Add(name="add")([stem, layers.Conv2D(8, 1, name="mix")(x)])
    x = layers.Dense(12, activation="relu", name="hidden")(layers.Flatten(name="flat")(layers.MaxPooling2D()(x)))
    model = keras.Model(inputs, layers.Dense(4, name="out")(x))
    model.get_layer("norm").moving_mean.assign(np.linspace(-0.2, 0.2, 8))
    return model


def error(model, other, x):
    old, new = (m.predict(x, verbose=0) for m in (model, other))
    return float(np.mean((old - new) ** 2) / np.var(old))


def test_the_cost_of_a_channel_is_what_the_error_grows_by():
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
    layer = layers.Dense(3)
    layer.build((None, 4))
    y = np.asarray(layer(z))
    numbers = np.array([0, 1, 2, 2])
    costs = Costs(layer, numbers, Signals([z], [y]), Fitting(ridge=1e-9))
    for gone in ([2], [1, 0]):
        grown = 0.0
        for number in gone:
            grown += costs.of(number)
            costs.lose(number)
        left = np.hstack([z[:, ~np.isin(numbers, gone)], np.ones((500, 1))])
        rest = y - left @ np.linalg.lstsq(left, y, rcond=None)[0]
        assert grown == pytest.approx(np.sum(rest**2) / np.sum((y - y.mean(0)) ** 2), rel=1e-3)
        costs = Costs(layer, numbers, Signals([z], [y]), Fitting(ridge=1e-9))


def test_a_channel_that_follows_from_others_goes_for_nothing():
    x, model = images(), network()
    hidden = model.get_layer("hidden")
    kernel, bias = hidden.get_weights()
    kernel[:, 5], bias[5] = 2 * kernel[:, 1], 2 * bias[1]
    hidden.set_weights([kernel, bias])
    small = introduce_layer(model, 11, x, at="hidden", mode="narrow")
    assert small.get_layer("hidden").units == 11 and error(model, small, images(seed=1)) < 1e-6
    assert hidden.units == 12 and model.get_layer("out").kernel.shape == (12, 4)


@pytest.mark.parametrize(("at", "width"), [("hidden", 4), ("stem", 5)])
def test_solved_readers_beat_readers_that_are_only_cut(at, width):
    """``stem`` ends in a sum: ``mix`` gets narrower with it, and ``hidden`` reads it through a Flatten."""
    x, model = images(), network()
    solved = introduce_layer(model, width, x, at=at, mode="narrow", ridge=1e-3)
    layer, kept = solved.get_layer(at), model.get_layer(at)
    whole, left = (np.moveaxis(m.kernel.numpy(), -1, 0).reshape(m.kernel.shape[-1], -1) for m in (kept, layer))
    keep = [next(k for k, row in enumerate(whole) if np.array_equal(row, other)) for other in left]
    names = ("stem", "mix") if at == "stem" else ("hidden",)
    cut = remove_channels(model, dict.fromkeys(names, keep))
    assert layer.kernel.shape[-1] == width and solved.count_params() == cut.count_params()
    assert error(model, solved, images(seed=1)) < 0.8 * error(model, cut, images(seed=1))


@pytest.mark.parametrize(("at", "width"), [("hidden", 20), ("stem", 11), ("stem", 19)])
def test_a_wider_network_says_the_same_and_its_halves_differ(at, width):
    x, model = images(), network()
    wide = introduce_layer(model, width, x, at=at, mode="widen", seed=3, ridge=1e-4)
    assert wide.get_layer(at).kernel.shape[-1] == width
    assert error(model, wide, images(seed=1)) < 1e-2
    kernel = np.moveaxis(wide.get_layer(at).kernel.numpy(), -1, 0).reshape(width, -1)
    assert len(np.unique(kernel.round(6), axis=0)) == width
    before = wide.get_layer(at).get_weights()[0]
    wide.compile("sgd", "mse", run_eagerly=True)
    wide.fit(x[:32], np.ones((32, 4)), verbose=0)
    assert np.abs(wide.get_layer(at).get_weights()[0] - before).max() > 0


def test_compressed_layers_change_width_but_compressed_readers_do_not():
    x, model = images(), network()
    small = tfc.compress(model, {"stem": {"kernel": tfc.LSQ(4)}})
    for mode, width in (("narrow", 6), ("widen", 10)):
        other = introduce_layer(small, width, x, at="stem", mode=mode, ridge=1e-3)
        assert tfc.report(other).rows[0]["layer"] == "stem"
        kernel, grid = tfc.deployed(other.get_layer("stem"), "kernel")
        assert kernel.shape[-1] == width and np.shape(grid.scale)[-1] in (1, width)
    with pytest.raises(ValueError, match=r"'hidden' \(Dense\) reads the channels of 'stem'.*without transforms"):
        introduce_layer(tfc.compress(model, {"hidden": {"kernel": tfc.LSQ(4)}}), 6, x, at="stem", mode="narrow")


@pytest.mark.parametrize(
    ("at", "new", "mode", "message"),
    [
        ("out", 3, "narrow", "'out' must keep its width: its channels are an output of the model"),
        ("wide", 3, "narrow", r"'wide' \(DepthwiseConv2D\) must be Dense or a convolution that sums"),
        ("hidden", 12, "narrow", "'hidden' has 12 channels; mode='narrow' takes fewer. Received: new=12"),
        ("hidden", 0, "narrow", "takes fewer. Received: new=0"),
        ("hidden", 12, "widen", "mode='widen' takes more. Received: new=12"),
        ("nobody", 3, "widen", "`at` must name one layer"),
        (("hidden", "out"), 3, "widen", "takes the number of channels as `new` and one layer as `at`"),
        ("hidden", layers.Dense(3), "narrow", "takes the number of channels as `new`"),
    ],
)
def test_refusals(at, new, mode, message):
    with pytest.raises(ValueError, match=message):
        introduce_layer(network(), new, images(20), at=at, mode=mode)


def test_groups_on_the_way_are_refused():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 1, name="one")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(x)
    model = keras.Model(inputs, layers.Conv2D(3, 1, name="two")(x))
    with pytest.raises(ValueError, match="'one' cannot be widened: a layer between it and its readers"):
        introduce_layer(model, 6, images(100), at="one", mode="widen")
    grouped = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 1, name="one"), layers.Conv2D(4, 3, groups=2)])
    with pytest.raises(ValueError, match="must be a kind of layer that least squares is known for"):
        Width(grouped, "one")
