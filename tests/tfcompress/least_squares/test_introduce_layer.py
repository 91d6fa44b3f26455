"""A new layer starts where the old ones were, and everything else stays as it is."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
from tfcompress.edits import introduce_layer
from tfcompress.structure.trace import trace

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def images(count=200, channels=3, size=9, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size, size, channels)).astype(np.float32)


def around(layer, shape=(9, 9, 3)):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), layer, layers.Flatten(), layers.Dense(4, name="out")])


SAME = [
    lambda name: layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name=name),
    lambda name: layers.Conv2D(6, (3, 2), dilation_rate=2, activation="tanh", name=name),
    lambda name: layers.Conv2D(6, 3, padding="same", groups=3, use_bias=False, name=name),
    lambda name: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="sigmoid", name=name),
    lambda name: layers.Dense(5, activation="softplus", name=name),
]


@pytest.mark.parametrize("make", SAME, ids=range(len(SAME)))
def test_a_layer_taken_out_is_found_again(make):
    model, x = around(make("old")), images()
    other = introduce_layer(model, make("new"), x, at="old")
    for old, new in zip(model.get_layer("old").get_weights(), other.get_layer("new").get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-3)
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-4)
    assert isinstance(other, keras.Sequential) and other.layers[0].name == "new"


def test_without_a_tap_the_pseudo_targets_find_it_too():
    """The base clips by another kind of layer, in front of which nobody can listen."""
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(6, 3, padding="same", name="old")(inputs)
    x = layers.Maximum(name="clip")([x, layers.Rescaling(0.0)(x)])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    new = layers.Conv2D(6, 3, padding="same", activation="relu", name="new")
    other = introduce_layer(model, new, images(), at=("old", "clip"))
    np.testing.assert_allclose(other.get_layer("new").kernel, model.get_layer("old").kernel, atol=2e-2)
    np.testing.assert_allclose(other.predict(images(), verbose=0), model.predict(images(), verbose=0), atol=1e-2)


@pytest.mark.parametrize(
    "new",
    [
        layers.Dense(6, name="new"),
        layers.Conv2D(6, 3, padding="same", activation="relu", name="new"),
        layers.DepthwiseConv2D(3, padding="same", name="new"),
        layers.SeparableConv2D(6, 3, padding="same", name="new"),
        [layers.Conv2D(6, 3, padding="same", use_bias=False, name="new"), layers.BatchNormalization(), layers.ReLU()],
    ],
    ids=["dense", "conv_relu", "depthwise", "separable", "conv_norm_relu"],
)
def test_an_inserted_layer_does_nothing_at_first(new):
    model = around(layers.Conv2D(6, 3, activation="relu", name="conv"))
    other = introduce_layer(model, new, images(), at="conv", mode="insert")
    x = images(20, seed=1)
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-3)
    assert [layer.name for layer in other.layers][:2] == ["conv", "new"]


def test_an_inserted_layer_that_cannot_do_nothing_is_warned_of():
    model = around(layers.Dense(6, name="dense"))
    with pytest.warns(UserWarning, match="'new' is inserted behind 'dense' but does not pass on what comes in: error"):
        introduce_layer(model, layers.Dense(6, activation="relu", name="new"), images(), at="dense", mode="insert")


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return x[:1347], labels[:1347], x[1347:], labels[1347:]


@pytest.fixture(scope="module")
def trained(digits):
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 1))
    for k in (1, 2, 3):
        x = layers.Conv2D(12, 3, strides=2 if k == 2 else 1, padding="same", use_bias=False, name=f"conv_{k}")(x)
        x = layers.ReLU(name=f"relu_{k}")(layers.BatchNormalization(momentum=0.9, name=f"norm_{k}")(x))
    model = keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten(name="flat")(x)))
    fit(model, digits, 5)
    return model


def fit(model, digits, epochs, seed=0):
    keras.utils.set_random_seed(seed)
    model.compile(keras.optimizers.Adam(3e-3), LOSS, jit_compile=False)
    return model.fit(*digits[:2], batch_size=64, epochs=epochs, verbose=0).history["loss"]


def right(model, digits):
    return float(np.mean(model.predict(digits[2], verbose=0).argmax(-1) == digits[3]))


def separable():
    names = {"name": "sep"}, {"name": "sep_norm", "momentum": 0.9}, {"name": "sep_relu"}
    conv = layers.SeparableConv2D(12, 3, strides=2, padding="same", use_bias=False, **names[0])
    return [conv, layers.BatchNormalization(**names[1]), layers.ReLU(**names[2])]


def chance(model):
    """The same network, the new layers as Keras starts them."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    for name in ("sep", "sep_norm"):
        layer = other.get_layer(name)
        layer.set_weights(type(layer).from_config(layer.get_config()).get_weights() or fresh(layer))
    return other


def fresh(layer):
    twin = type(layer).from_config(layer.get_config())
    twin.build(layer.get_build_config()["input_shape"])
    return twin.get_weights()


def test_least_squares_beats_chance_before_and_after_an_epoch(trained, digits):
    other = introduce_layer(trained, separable(), digits[0], at=("conv_2", "relu_2"))
    control = chance(other)
    assert right(other, digits) > 0.8 > 0.5 > right(control, digits)
    shared = [layer.name for layer in trained.layers if layer.name in {lay.name for lay in other.layers}]
    assert shared[-3:] == ["relu_3", "flat", "head"] and "conv_2" not in {lay.name for lay in other.layers}
    for name in ("conv_1", "norm_1", "conv_3", "norm_3", "head"):
        for old, new in zip(trained.get_layer(name).get_weights(), other.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    before = other.get_layer("sep").get_weights()
    assert fit(other, digits, 1, seed=1)[0] < 0.7 * fit(control, digits, 1, seed=1)[0]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, other.get_layer("sep").get_weights(), strict=True))


def test_the_second_makes_up_for_the_error_of_the_first(trained, digits):
    """With the first network as base, z1 comes from the changed one and the targets do not."""
    x = digits[0][:600]
    once = introduce_layer(trained, layers.Conv2D(12, 1, strides=2, name="new_2"), x, at=("conv_2", "norm_2"))
    new = layers.Conv2D(12, 3, padding="same", activation="relu", name="new_3")
    blind, aware = (introduce_layer(once, new, x, at=("conv_3", "relu_3"), base=b) for b in (once, trained))
    reference = trained.predict(digits[2], verbose=0)
    errors = [float(np.mean((m.predict(digits[2], verbose=0) - reference) ** 2)) for m in (blind, aware)]
    assert errors[1] < 0.8 * errors[0]


def test_signals_are_of_inference_labels_are_not_read_and_data_matter(trained, digits):
    x = digits[0][:300]
    statistics = trained.get_layer("norm_1").get_weights()
    make = lambda data: introduce_layer(trained, separable(), data, at=("conv_2", "relu_2")).get_layer("sep")  # noqa: E731
    one, other = make(x), make((x[k : k + 100], np.zeros(100)) for k in (0, 100, 200))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-2)
    assert np.abs(one.get_weights()[1] - make(digits[0][300:600]).get_weights()[1]).max() > 1e-3
    for a, b in zip(statistics, trained.get_layer("norm_1").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_are_met_with_layers_in_front_and_nested_models_stay_nested(trained, digits):
    pooled = [layers.AveragePooling2D(2, name="pool"), layers.Flatten(name="flat"), layers.Dense(10, name="new")]
    other = introduce_layer(trained, pooled, digits[0], at=("flat", "head"))
    assert other.count_params() < trained.count_params() and right(other, digits) > 0.7
    inputs = keras.Input((8, 8, 1))
    outer = keras.Model(inputs, layers.Softmax()(trained(inputs)))
    inner = introduce_layer(outer, separable(), digits[0], at=(f"{trained.name}/conv_2", "relu_2"))
    assert isinstance(inner.get_layer(trained.name), keras.Model)
    assert f"{trained.name}/sep_norm" in [call.path for call in trace(inner).calls]


def test_compressed_layers_stay_and_the_new_layer_is_compressed_later(trained, digits):
    small = tfc.compress(trained, {"conv_3": {"kernel": tfc.LSQ(4)}})
    other = introduce_layer(small, separable(), digits[0][:300], at=("conv_2", "relu_2"))
    assert isinstance(other.get_layer("conv_3"), tfc.Compressed)
    again = tfc.compress(tfc.strip(other), {"sep": {"kernel": tfc.LSQ(8)}})
    assert right(again, digits) > 0.7


@pytest.mark.parametrize(
    ("new", "at", "mode", "message"),
    [
        (layers.Dense(12), "conv_2", "swap", "`mode` must be one of"),
        (layers.LSTM(3), "conv_2", "replace", r"must hold one layer of \['Dense'.*Received: \[\"'lstm.*LSTM"),
        ([layers.ReLU(name="r"), layers.Dense(12)], "relu_2", "insert", r"'r' \(ReLU\) must stand in this order"),
        ([layers.Dense(12), layers.Dense(12)], "relu_2", "insert", "must hold one layer of"),
        ("dense", "relu_2", "insert", "`new` must be a Keras layer or a list of layers. Received"),
        (layers.Dense(7, name="d"), "relu_2", "insert", r"'d' \(Dense\) must deliver the shape \(None, 4, 4, 12\)"),
        (layers.Dense(12, name="conv_1"), "relu_2", "insert", r"names that are free.*\['conv_1'\]"),
        (layers.Dense(12, "exponential", name="e"), "relu_2", "insert", "'e' .* an activation that can be inverted"),
        ([layers.Dense(12), layers.BatchNormalization(scale=False)], "relu_2", "insert", "must have scale and center"),
    ],
)
def test_refusals(trained, digits, new, at, mode, message):
    with pytest.raises(ValueError, match=message):
        introduce_layer(trained, new, digits[0][:20], at=at, mode=mode)


def test_a_base_without_the_place_is_refused(trained, digits):
    other = around(layers.Dense(3, name="dense"), (8, 8, 1))
    with pytest.raises(ValueError, match="`base` .* must have the tensor 'relu_2' of shape"):
        introduce_layer(trained, separable(), digits[0][:64], at=("conv_2", "relu_2"), base=other)
