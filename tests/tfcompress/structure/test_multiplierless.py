"""The edit: what is replaced, what the network computes before and after, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.edits import multiplierless
from tfcompress.layers import PowerOfTwoBatchNormalization
from tfcompress.structure import slots
from tfcompress.structure.multiplierless import residue


def settle(model, seed=0):
    """Gives every batch norm gammas of both signs and statistics, as training does."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            settle(layer, seed + 1)
        if isinstance(layer, layers.BatchNormalization):
            n = layer.moving_mean.shape[0]
            layer.moving_mean.assign(rng.normal(size=n))
            layer.moving_variance.assign(rng.uniform(0.2, 5, n))
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.3, 2, n) * rng.choice([-1, 1], n))
            if layer.center:
                layer.beta.assign(rng.normal(size=n))
    return model


def around(*stack, shape=(6, 6, 4)):
    keras.utils.set_random_seed(0)
    return settle(keras.Sequential([keras.Input(shape), *stack]))


def inputs(model, samples=8):
    return np.random.default_rng(0).normal(size=(samples, *model.input_shape[1:])).astype(np.float32)


def norms(model):
    return [layer for layer in model.layers if isinstance(layer, PowerOfTwoBatchNormalization)]


FRONTS = [
    layers.Conv2D(5, 3), layers.Conv2D(8, 3, groups=2, use_bias=False), layers.DepthwiseConv2D(3, depth_multiplier=2),
    layers.SeparableConv2D(6, 3), layers.Conv2DTranspose(3, 2), layers.Dense(7, use_bias=False),
]  # fmt: skip


@pytest.mark.parametrize("front", FRONTS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False, "epsilon": 0.1}], ids=str)
def test_behind_a_linear_layer_the_network_computes_the_same(front, arguments):
    front = type(front).from_config(front.get_config())
    model = around(front, layers.BatchNormalization(**arguments, name="norm"), layers.ReLU(), layers.Flatten())
    before = [np.array(v) for v in model.variables]
    shifted, x = multiplierless(model), inputs(model)
    np.testing.assert_allclose(shifted(x), model(x), rtol=1e-4, atol=1e-5)
    (norm,) = norms(shifted)
    np.testing.assert_array_equal(np.frexp(np.abs(norm.factor))[0], 0.5)
    assert [layer.name for layer in shifted.layers] == [layer.name for layer in model.layers]
    for old, now in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, now)


def test_the_first_step_of_training_does_not_move_the_factors():
    """gamma / sqrt(v + epsilon) is in the middle of its octave."""
    model = around(layers.Conv2D(8, 3), layers.BatchNormalization(momentum=0.9999))
    shifted = multiplierless(model)
    (norm,) = norms(shifted)
    r = norm.gamma / np.sqrt(norm.moving_variance + np.float32(norm.epsilon))
    np.testing.assert_allclose(r, norm.factor, rtol=1e-5)
    before = norm.factor
    shifted(inputs(model), training=True)
    np.testing.assert_array_equal(norm.factor, before)


@pytest.mark.parametrize(
    "stack",
    [
        [layers.BatchNormalization(name="norm")],
        [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(name="norm")],
        [layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization(name="norm")],
    ],
    ids=["input", "activation", "relu"],
)
def test_elsewhere_factors_are_rounded_and_the_moving_average_stays_in_place(stack):
    model = around(*[type(layer).from_config(layer.get_config()) for layer in stack])
    norm, twin = model.get_layer("norm"), norms(multiplierless(model))[0]
    r = norm.gamma / np.sqrt(norm.moving_variance + np.float32(norm.epsilon))
    ratio = twin.factor / r
    assert np.abs(np.log2(ratio)).max() < 0.5001 and np.ptp(ratio) > 0.1
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        np.testing.assert_array_equal(getattr(norm, name), getattr(twin, name))
    np.testing.assert_allclose(twin.factor * slots.numpy(norm.moving_mean) + twin.offset, norm.beta, atol=1e-5)


def branched():
    """A layer that two read, a norm behind a sum, a norm called twice, a nested model."""
    x = entry = keras.Input((6, 6, 4))
    shared = layers.Conv2D(4, 3, padding="same", name="shared")(x)
    a = layers.BatchNormalization(name="a")(shared)
    b = layers.BatchNormalization(name="b")(layers.Add()([a, shared]))
    twice = layers.BatchNormalization(name="twice")
    b = twice(layers.Conv2D(4, 1, name="second")(twice(layers.Conv2D(4, 1, name="first")(b))))
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm")], name="inner"
    )
    return settle(keras.Model(entry, inner(b)))


def test_layers_that_others_read_or_use_again_are_left_alone():
    model = branched()
    shifted = multiplierless(model)
    assert [n.name for n in norms(shifted)] == ["a", "b", "twice"]
    for name in ("shared", "first", "second"):
        np.testing.assert_array_equal(shifted.get_layer(name).kernel, model.get_layer(name).kernel)
    inner, x = shifted.get_layer("inner"), inputs(model)
    assert not np.array_equal(inner.get_layer("conv").kernel, model.get_layer("inner").get_layer("conv").kernel)
    np.testing.assert_allclose(inner(x), model.get_layer("inner")(x), rtol=1e-4, atol=1e-5)
    assert shifted(x).shape == model(x).shape


def test_compressed_kernels_stay_and_other_compressed_layers_move():
    stack = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU()]
    model = around(*stack, layers.Dense(3))
    for rules in ({"conv": {"kernel": tfc.LSQ(8)}}, {"conv": {"bias": tfc.LSQ(8)}}, {".*": {"output": tfc.LSQ(8)}}):
        small = tfc.compress(model, rules)
        shifted, kept = multiplierless(small), "output" not in rules.get(".*", {})
        conv, twin = ((m.get_layer("conv").layer if kept else m.get_layer("conv")) for m in (small, shifted))
        assert np.array_equal(conv.kernel, twin.kernel) == kept


def test_arguments_are_those_of_the_batch_norm_or_given():
    norm = layers.BatchNormalization(
        momentum=0.95, epsilon=0.01, gamma_regularizer="l2", beta_constraint="non_neg", trainable=False, name="n"
    )
    model = around(layers.Dense(4), norm)
    (twin,) = norms(multiplierless(model))
    assert (twin.momentum, twin.epsilon, twin.trainable, twin.freeze_step) == (0.95, 0.01, False, None)
    assert isinstance(twin.gamma_regularizer, keras.regularizers.L2)
    assert isinstance(twin.beta_constraint, keras.constraints.NonNeg)
    (twin,) = norms(multiplierless(model, momentum=0.8, freeze_step=7))
    assert (twin.momentum, twin.freeze_step) == (0.8, 7)


def test_statistics_of_a_model_that_was_never_trained_are_forgotten_at_once():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    x = inputs(model)
    for settled in (False, True):
        (norm,) = norms(shifted := multiplierless(settle(model) if settled else model))
        shifted(x, training=True)
        batch = np.asarray(shifted.layers[0](x)).mean(0)
        assert np.allclose(norm.moving_mean, batch, atol=1e-5) != settled


def test_what_is_left_is_one_where_it_cannot_go_into_a_kernel():
    gamma, exponent = np.float32([0, 1e-9, 1.2, 0.9]), np.array([-20, -20, 0, 0])
    rest = residue(gamma, np.float32([1, 1, 1, 1e-6]), 1e-6, exponent)
    np.testing.assert_allclose(rest, [1, 1, 1.2, 1], rtol=1e-5)


class Special(layers.BatchNormalization):
    """Not quite a batch norm."""


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Special(name="n"), "Layer 'n' must be a plain BatchNormalization to be replaced. Received: Special"),
        (layers.BatchNormalization(renorm=True, name="n"), "Received: BatchNormalization, renorm=True"),
        (layers.BatchNormalization(synchronized=True, name="n"), "Received: BatchNormalization, synchronized=True"),
        (
            layers.TimeDistributed(layers.BatchNormalization(), name="n"),
            "Layer 'n' .* one inside a TimeDistributed; call it without",
        ),
        (layers.LayerNormalization(name="n"), r"must have a BatchNormalization. Received: \['input.*', 'n'\]"),
    ],
    ids=["subclass", "renorm", "synchronized", "wrapped", "none"],
)
def test_what_cannot_be_replaced_is_refused(layer, message):
    model = keras.Sequential([keras.Input((6, 4)), layer])
    with pytest.raises(ValueError, match=message):
        multiplierless(model)


def test_a_compressed_batch_norm_is_refused():
    model = tfc.compress(around(layers.BatchNormalization(name="n")), {"n": {"gamma": tfc.LSQ(8)}})
    with pytest.raises(ValueError, match="Layer 'n' .* inside a Compressed; compress after this edit"):
        multiplierless(model)
