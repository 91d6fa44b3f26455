"""Channels that go, and what stays of a network."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.edits import remove_channels


def random(model, seed=0):
    """Random weights everywhere, batch norms as training leaves them."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" in variable.dtype:
            low = 0.5 if "variance" in variable.path else -1.0
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def classifier(*stack, shape=(6, 6, 2)):
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3, name="head")]
    return random(keras.Sequential([keras.Input(shape), *stack, *head]))


def outputs(model, count=3):
    x = np.random.default_rng(1).normal(size=(count, *model.input_shape[1:])).astype(np.float32)
    return np.asarray(model(x, training=False))


def assert_same(small, model):
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def mute(layer, axis, channels):
    """Zeros for some channels of a kernel."""
    kernel = np.moveaxis(layer.kernel.numpy(), axis, 0)
    kernel[channels] = 0
    layer.kernel.assign(np.moveaxis(kernel, 0, axis))


def close(layer, channels):
    """Zero kernel and bias: the channel is zero behind the layer."""
    mute(layer, -1, channels)
    layer.bias.assign(np.where(np.isin(np.arange(layer.bias.shape[0]), channels), 0, layer.bias.numpy()))


@pytest.mark.parametrize("wanted", [[0, 2, 3], [True, False, True, True, False], np.array([0, 2, 3])])
def test_named_channels_go_as_if_their_readers_had_zeros_for_them(wanted):
    model = classifier(layers.Conv2D(5, 3, name="a"), layers.BatchNormalization(), layers.Conv2D(4, 3, name="b"))
    small = remove_channels(model, {"a": wanted})
    mute(model.get_layer("b"), -2, [1, 4])
    assert_same(small, model)
    assert small.get_layer("a").kernel.shape == (3, 3, 2, 3)
    assert small.get_layer("b").kernel.shape == (3, 3, 3, 4)
    assert model.get_layer("a").kernel.shape == (3, 3, 2, 5)


def test_what_stays_keeps_names_and_weights():
    model = classifier(layers.Conv2D(5, 3, name="a"), layers.BatchNormalization(name="n"), layers.Conv2D(4, 3))
    small = remove_channels(model, {"a": [0, 2]})
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(small.get_layer("a").kernel, model.get_layer("a").kernel.numpy()[..., [0, 2]])
    np.testing.assert_array_equal(small.get_layer("n").moving_mean, model.get_layer("n").moving_mean.numpy()[[0, 2]])


def residual(shortcut=True):
    inputs = keras.Input((6, 6, 2))
    a = layers.Conv2D(6, 3, padding="same", name="a")(inputs)
    b = layers.Conv2D(5, 3, padding="same", activation="relu", name="b")(a)
    c = layers.Conv2D(6, 3, padding="same", name="c")(b)
    x = layers.ReLU(name="r")(layers.Add(name="sum")([a if shortcut else inputs, c]))
    return random(keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x))))


def test_terms_of_a_sum_go_where_all_agree():
    model = residual()
    with pytest.warns(UserWarning) as caught:
        small = remove_channels(model, {"a": [0, 1, 2], "c": [0, 1, 5]})
    assert small.get_layer("sum").output.shape[-1] == 4  # 4 is in neither; 5 in one, 2 in the other
    messages = [str(w.message) for w in caught]
    assert "'a' keeps 1 of the 3 channels" in messages[0] and "tied to channels of ['a', 'c']" in messages[0]
    masked = random(residual())
    mute(masked.get_layer("b"), -2, [3, 4])
    rows = masked.get_layer("head").kernel.numpy().reshape(36, 6, 3)
    rows[:, [3, 4]] = 0
    masked.get_layer("head").kernel.assign(rows.reshape(216, 3))
    assert_same(small, masked)


def test_naming_the_sum_is_not_enough_where_a_term_is_read_before_it():
    with pytest.warns(UserWarning, match=r"'sum' keeps 2 of the 2 .* read by \['b'\]"):
        assert remove_channels(residual(), {"sum": [0, 1, 2, 3]}).count_params() == residual().count_params()


def test_inside_a_block_channels_go_freely():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert remove_channels(residual(), {"b": [0, 1]}).get_layer("b").output.shape[-1] == 2


@pytest.mark.parametrize(
    ("name", "wanted", "reason"),
    [
        ("head", [0], "'head': channels \\[1, 2\\] cannot be removed: they are an output of the model"),
        ("c", [0], "channels \\[1\\] cannot be removed: they are an input of the model"),
        ("b", [9], "must be 5 bools, at least one of them True, or a list of indices from 0 to 4. Received: \\[9\\]"),
        ("b", [False] * 5, "at least one of them True"),
        ("b", [-1], "indices from 0 to 4"),
        ("x", [0], "`keep` must name one layer by name or path. Received: 'x'. Layers: \\['input_layer"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(name, wanted, reason):
    inputs = keras.Input((6, 6, 2))
    b = layers.Conv2D(5, 3, padding="same", name="b")(inputs)
    x = layers.Add()([inputs, layers.Conv2D(2, 1, name="c")(b)])
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))
    with pytest.raises(ValueError, match=reason):
        remove_channels(model, {name: wanted})


@pytest.mark.parametrize(
    "layer", [layers.LayerNormalization(name="x"), layers.Softmax(name="x"), layers.GroupNormalization(2, name="x")]
)
def test_channels_that_a_layer_mixes_are_refused(layer):
    model = classifier(layers.Conv2D(4, 3, name="a"), layer)
    kind = type(layer).__name__
    with pytest.raises(ValueError, match=rf"'a': channels \[2, 3\] cannot be removed: they go through 'x' \({kind}\)"):
        remove_channels(model, {"a": [0, 1]})


def test_the_multiple_keeps_the_most_important_of_the_others():
    model = classifier(layers.Conv2D(12, 3, name="a"), layers.Conv2D(4, 3, name="b"))
    norms = np.abs(np.arange(12) - 5.5)  # large at both ends
    model.get_layer("a").kernel.assign(np.broadcast_to(norms, (3, 3, 2, 12)))
    small = remove_channels(model, {"a": [4, 5, 6]}, multiple_of=8)
    np.testing.assert_array_equal(
        small.get_layer("a").kernel.numpy()[0, 0, 0], norms[[0, 1, 2, 4, 5, 6, 10, 11]].astype(np.float32)
    )
    assert remove_channels(model, {"a": [0]}, multiple_of=16).get_layer("a").kernel.shape[-1] == 12
    with pytest.raises(ValueError, match=r"`multiple_of` must be at least 1. Received: multiple_of=0"):
        remove_channels(model, multiple_of=0)


def test_dead_channels_go_and_their_constants_move_into_biases():
    stack = [layers.Conv2D(5, 3, name="a"), layers.ReLU(), layers.Conv2D(4, 3, use_bias=False, name="b")]
    model = classifier(*stack)
    mute(model.get_layer("a"), -1, [1, 3])
    model.get_layer("a").bias.assign([0.1, 0.7, 0.2, -0.4, 0.3])
    small = remove_channels(model)
    assert_same(small, model)
    assert small.get_layer("a").kernel.shape[-1] == 3
    assert small.get_layer("b").use_bias and not model.get_layer("b").use_bias


def test_a_constant_in_front_of_zero_padding_stays():
    model = classifier(layers.Conv2D(5, 3, name="a"), layers.ReLU(), layers.Conv2D(4, 3, padding="same", name="b"))
    mute(model.get_layer("a"), -1, [1, 3])
    model.get_layer("a").bias.assign([0.1, 0.7, 0.2, -0.4, 0.3])
    small = remove_channels(model)
    assert_same(small, model)
    assert small.get_layer("a").kernel.shape[-1] == 4  # channel 3 is zero behind the ReLU


def test_what_nobody_reads_goes_and_what_only_it_read():
    stack = [layers.Conv2D(5, 3, name="a"), layers.Conv2D(4, 3, name="b"), layers.Conv2D(4, 1, name="c")]
    model = classifier(*stack)
    mute(model.get_layer("c"), -2, [0, 1])
    kernel = model.get_layer("b").kernel.numpy()
    kernel[:, :, 4, 2:] = 0  # of b, channels 2 and 3 do not look at channel 4 of a
    model.get_layer("b").kernel.assign(kernel)
    small = remove_channels(model)
    assert_same(small, model)
    assert (small.get_layer("a").filters, small.get_layer("b").filters) == (4, 2)


def test_one_channel_stays_of_a_dead_layer():
    model = classifier(layers.Conv2D(5, 3, name="a"), layers.ReLU(), layers.Conv2D(4, 3, name="b"))
    close(model.get_layer("a"), range(5))
    small = remove_channels(model)
    assert_same(small, model)
    assert small.get_layer("a").filters == 1


def test_channels_pass_depthwise_separable_and_grouped_convolutions():
    model = classifier(
        layers.Conv2D(8, 1, name="a"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="d"),
        layers.SeparableConv2D(8, 3, depth_multiplier=2, name="s"),
        layers.Conv2D(12, 1, groups=2, name="g"),
    )
    wanted = {"a": [0, 3, 4], "s": [0, 1, 4, 5], "g": [1, 2, 7, 8]}
    small = remove_channels(model, wanted)
    mute(model.get_layer("d"), -2, [1, 2, 5, 6, 7])
    model.get_layer("d").bias.assign(np.where(np.isin(np.arange(16) // 2, [0, 3, 4]), model.get_layer("d").bias, 0))
    mute(model.get_layer("g"), -2, [2, 3])
    mute(model.get_layer("head"), 0, [0, 3, 4, 5, 6, 9, 10, 11])
    assert_same(small, model)
    assert small.get_layer("d").kernel.shape == (3, 3, 3, 2)
    assert small.get_layer("g").kernel.shape == (1, 1, 2, 4)


def test_places_of_a_group_go_together():
    model = classifier(layers.Conv2D(8, 1, name="a"), layers.Conv2D(4, 1, groups=2, name="g"))
    with pytest.warns(UserWarning, match=r"'a' keeps 1 of the 3 channels"):
        small = remove_channels(model, {"a": [1, 2, 3, 5, 6]})  # 0 and 4 are one place, 7 and 3 another
    assert small.get_layer("a").filters == 6


def test_nested_models_and_shared_layers():
    shared = layers.Conv2D(4, 3, padding="same", name="s")
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(5, 1, name="i"), layers.ReLU()], name="inner")
    model = classifier(layers.Conv2D(4, 1, name="a"), shared, layers.ReLU(), shared, inner)
    small = remove_channels(model, {"s": [0, 1, 3], "a": [0, 1, 3], "inner/i": [1, 2]})
    mute(shared, -2, [2])
    mute(model.get_layer("inner").get_layer("i"), -2, [2])
    mute(model.get_layer("head"), 0, [0, 3, 4])
    assert_same(small, model)
    assert small.get_layer("inner").input_shape == (None, 6, 6, 3)
    assert sum(layer.name == "s" for layer in small._flatten_layers()) == 1


def test_a_product_with_zero_goes():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", name="x")(inputs)
    s = layers.Dense(4, activation="relu", name="s")(layers.GlobalAveragePooling2D()(x))
    y = layers.Multiply()([x, layers.Reshape((1, 1, 4))(s)])
    model = random(keras.Model(inputs, layers.Dense(2, name="head")(layers.GlobalMaxPooling2D()(y))))
    close(model.get_layer("s"), [2])
    assert remove_channels(model).get_layer("x").filters == 4  # still read by the average
    mute(model.get_layer("s"), 0, [2])
    small = remove_channels(model)
    assert_same(small, model)
    assert small.get_layer("x").filters == 3


def test_a_model_that_needs_everything_is_copied():
    model = classifier(layers.Conv2D(4, 3, name="a"))
    small = remove_channels(model)
    assert small is not model and small.count_params() == model.count_params()
    assert_same(small, model)


def test_files_shrink_and_reload(tmp_path):
    model = tfc.compress(
        classifier(layers.Conv2D(8, 3, name="a"), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(4, 3)),
        {".*": {"kernel": tfc.LSQ(bits=4), "output": tfc.LSQ(bits=8)}},
    )
    tfc.calibrate(model, np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype(np.float32))
    small = remove_channels(model, {"a": [0, 2, 5]})
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(outputs(again), outputs(small))
    assert again.get_layer("a").layer.filters == 3
    assert tuple(again.get_layer("a").transforms["kernel"].unit.shape) == (1, 1, 1, 3)
