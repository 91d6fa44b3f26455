"""Biases that take back what changed weights do to the means."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.edits import correct_bias

X = np.random.default_rng(1).normal(0.5, 1, size=(128, 8, 8, 3)).astype(np.float32)
MEAN = X.mean((0, 1, 2))


def block(x, layer, name, activation=None):
    """A layer, its batch norm and its activation."""
    x = layers.BatchNormalization(name=f"{name}_norm")(layer(x))
    return layers.ReLU(activation, name=f"{name}_relu")(x) if activation != "linear" else x


def conv(filters, size, name, **options):
    return layers.Conv2D(filters, size, use_bias=False, padding="same", name=name, **options)


def plain(x):
    return block(block(x, conv(8, 3, "a"), "a"), conv(8, 3, "b"), "b")


def clipped(x):
    return block(block(x, conv(8, 3, "a"), "a", 6.0), conv(8, 3, "b", strides=2), "b")


def depthwise(x):
    d = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False, name="b")
    return block(block(block(x, conv(6, 1, "a"), "a", 6.0), d, "b"), conv(8, 1, "c"), "c")


def residual(x):
    x = block(x, conv(8, 3, "a"), "a")
    y = block(block(x, conv(8, 3, "b"), "b"), conv(8, 3, "c"), "c", "linear")
    return block(layers.ReLU()(layers.Add()([x, y])), conv(8, 1, "d"), "d")


def concat(x):
    a, b = block(x, conv(4, 3, "a"), "a"), block(x, conv(6, 1, "b"), "b", "linear")
    x = layers.AveragePooling2D(2)(layers.Concatenate()([a, b]))
    return block(x, conv(6, 3, "c", groups=2), "c")


def curved(x):
    x = layers.Activation("silu")(block(x, conv(8, 3, "a"), "a", "linear"))
    return block(layers.ZeroPadding2D()(x), layers.SeparableConv2D(8, 3, use_bias=False, name="b"), "b")


def transposed(x):
    t = layers.Conv2DTranspose(6, 3, strides=2, padding="same", use_bias=False, name="b")
    return block(block(block(x, conv(8, 3, "a"), "a"), t, "b"), conv(6, 2, "c"), "c")


BODIES = [plain, clipped, depthwise, residual, concat, curved, transposed]


def network(body):
    """Random weights, batch norms with the statistics that training would have given them."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3), name="in")
    model = keras.Model(inputs, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(body(inputs))))
    rng = np.random.default_rng(3)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
        layer.gamma.assign(rng.uniform(0.6, 1.4, layer.gamma.shape))
        layer.beta.assign(rng.uniform(-0.6, 0.8, layer.beta.shape))
    for _ in norms:
        model(X, training=True)
    return model


def changed(model, name, scale=0.2):
    """A copy whose layer ``name`` has weights that are off by something of a mean that is not zero."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    variable = twin.get_layer(name).weights[0]
    noise = np.random.default_rng(4).normal(0.3, 1, variable.shape)
    variable.assign(variable + scale * np.abs(variable.numpy()).mean() * noise)
    return twin


def sums(model, name):
    """What a layer delivers in the mean over samples and places; layers here end in no activation."""
    y = keras.Model(model.inputs[0], model.get_layer(name).output)(X)
    return np.asarray(y).reshape(-1, y.shape[-1]).mean(0)


def last_conv(model):
    return [layer.name for layer in model.layers if "conv" in type(layer).__name__.lower()][-1]


@pytest.fixture(scope="module", params=BODIES, ids=lambda body: body.__name__)
def case(request):
    keras.utils.clear_session(free_memory=False)
    model = network(request.param)
    name = last_conv(model)
    return model, changed(model, name), name


def mean_error(model, reference, name):
    return np.abs(sums(model, name) - sums(reference, name)).mean()


def test_without_data_the_error_of_the_mean_falls_to_a_third(case):
    model, wrong, name = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is unknown where something changed
        right = correct_bias(wrong, reference=model)
    assert mean_error(right, model, name) < mean_error(wrong, model, name) / 3
    assert all(layer.name == other.name for layer, other in zip(right.layers, wrong.layers, strict=True))


def test_with_data_to_a_tenth_and_in_all_layers(case):
    model, _, name = case
    wrong, changes = model, [layer.name for layer in model.layers if layer.name in ("a", "b", name, "head")]
    for layer in changes:
        wrong = changed(wrong, layer)
    right = correct_bias(wrong, X, reference=model)
    for layer in changes:
        assert mean_error(right, model, layer) < mean_error(wrong, model, layer) / 10


def test_adding_instead_of_subtracting_would_double_the_error(case):
    model, wrong, name = case
    right = correct_bias(wrong, reference=model)
    shift = sums(right, name) - sums(wrong, name)
    worse = np.abs(sums(wrong, name) - shift - sums(model, name)).mean()
    assert worse > 1.5 * mean_error(wrong, model, name)


def test_the_means_are_those_of_the_equation_by_hand():
    inputs = keras.Input((2,))
    x = layers.ReLU()(layers.BatchNormalization(name="n")(inputs))
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, name="d")(x))
    model.get_layer("n").gamma.assign([-2.0, 0.0])
    model.get_layer("n").beta.assign([0.0, 3.0])
    wrong = changed(model, "d", 0.0)
    wrong.get_layer("d").kernel.assign(model.get_layer("d").kernel + np.array([[1.0], [0.5]]))
    right = correct_bias(wrong, reference=model)
    # E[relu(N(0, 4))] = 2 / sqrt(2 pi); a batch norm with gamma 0 delivers 3
    np.testing.assert_allclose(right.get_layer("d").bias, [-(2 / np.sqrt(2 * np.pi) + 1.5)], rtol=1e-5)
    assert not wrong.get_layer("d").use_bias


RULES = {
    "3 bits, one step": {"kernel": tfc.MinMax(3, axis=())},
    "4 bits": {"kernel": tfc.MinMax(4)},
    "80 % zeros": {"kernel": tfc.MagnitudePruning(tfc.ConstantSparsity(0.8, end_step=0))},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("data", [True, False])
def test_quantised_and_pruned_layers_are_corrected_against_their_latent_weights(rule, data):
    model = network(residual)
    small = tfc.compress(model, {".*": RULES[rule]})
    right = correct_bias(small, X) if data else correct_bias(small, input_mean=MEAN)
    assert type(right.get_layer("c")) is type(small.get_layer("c"))
    names, factor = (("a", "c", "head"), 10) if data else (("a",), 3)  # from "b" on, variances have changed too
    for layer in names:
        assert mean_error(right, model, layer) < mean_error(small, model, layer) / factor
    errors = [np.mean((np.asarray(m(X)) - np.asarray(model(X))) ** 2) for m in (small, right)]
    assert errors[1] < errors[0]
    kernels = [tfc.deployed(m.get_layer("c"), "kernel")[0] for m in (small, right)]
    np.testing.assert_array_equal(*kernels)


@pytest.mark.parametrize("x", [None, X], ids=["analytic", "empirical"])
def test_without_error_nothing_changes(x):
    model = network(residual)
    same = correct_bias(model, x, reference=model)
    assert same is not model
    for old, new in zip(model.weights, same.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_without_data_no_data_is_touched(monkeypatch):
    def fail(*_):
        raise AssertionError("data was read")

    monkeypatch.setattr("tfcompress.post_training.correct_bias.feed", fail)
    monkeypatch.setattr("tfcompress.post_training.correct_bias.play", fail)
    model = network(plain)
    assert correct_bias(changed(model, "b"), reference=model).get_layer("b").use_bias


def test_rounded_feature_maps_are_made_up_for_with_data():
    model = network(plain)
    small = tfc.compress(model, {"a|b": {"output": tfc.MinMax(3)}})
    tfc.calibrate(small, X)
    right = correct_bias(small, X)
    assert mean_error(right, model, "head") < mean_error(small, model, "head") / 10
    assert not any(isinstance(layer, layers.Conv2D) and layer.use_bias for layer in small.layers)


def test_a_corrected_model_needs_no_more():
    model = network(depthwise)
    once = correct_bias(changed(model, "c"), X, reference=model)
    twice = correct_bias(once, X, reference=model)
    np.testing.assert_allclose(twice.get_layer("c").bias, once.get_layer("c").bias, atol=1e-5)


def shared(x):
    twice = layers.Conv2D(4, 3, padding="same", name="s")
    return twice(layers.BatchNormalization()(twice(block(x, conv(4, 1, "a"), "a"))))


@pytest.mark.parametrize("x", [None, X], ids=["analytic", "empirical"])
def test_a_layer_used_twice_takes_the_mean_of_both(x):
    model = network(shared)
    wrong = changed(model, "s")
    right = correct_bias(wrong, x, reference=model)
    errors = [np.abs((np.asarray(m(X)) - np.asarray(model(X))).mean(0)).mean() for m in (wrong, right)]
    assert errors[1] < errors[0] / 2


def unknown_network():
    inputs = keras.Input((8, 8, 3))
    x = layers.MaxPooling2D()(block(inputs, conv(4, 3, "a"), "a"))
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(block(x, conv(4, 3, "b"), "b"))))


def test_layers_whose_mean_input_is_not_known_are_named():
    model = unknown_network()
    wrong = changed(changed(changed(model, "a"), "b"), "head")
    with pytest.warns(UserWarning, match=r"The biases of \['a', 'b'\] stay as they are.*Pass typical inputs as `x`"):
        right = correct_bias(wrong, reference=model)
    assert not right.get_layer("b").use_bias and np.abs(right.get_layer("head").bias).min() > 0
    with pytest.warns(UserWarning, match=r"The biases of \['b'\] stay"):
        assert correct_bias(wrong, reference=model, input_mean=0.5).get_layer("a").use_bias


def test_where_nothing_is_known_it_is_an_error():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu", name="a"), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"nothing known of what goes into \['a'\]. Pass typical inputs as `x`"):
        correct_bias(changed(model, "a"), reference=model)


def test_wrong_references_are_refused():
    model = network(plain)
    with pytest.raises(ValueError, match="must have transforms, or come with the float model.*Received"):
        correct_bias(model)
    with pytest.raises(ValueError, match=r"`reference` must have the .* of the model. Received: other layers \['c"):
        correct_bias(model, reference=network(residual))
    with pytest.raises(ValueError, match="`input_mean` must be a list of 2, one for each input. Received: 1"):
        inputs = [keras.Input((3,)), keras.Input((3,))]
        two = keras.Model(inputs, layers.Dense(2)(layers.Add()(inputs)))
        correct_bias(two, reference=two, input_mean=[0.5])


def test_it_saves_and_trains_on(tmp_path):
    small = correct_bias(tfc.compress(network(plain), {".*": {"kernel": tfc.LSQ(3)}}), X)
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(again(X), small(X))
    small.compile("sgd", "mse")
    before = small.get_layer("b").layer.bias.numpy()
    small.fit(X[:64], np.zeros((64, 4)), epochs=1, verbose=0)
    assert np.isfinite(before).all() and small.get_layer("b").layer.bias.trainable
