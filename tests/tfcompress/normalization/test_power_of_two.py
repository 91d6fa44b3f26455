"""Batch norm that shifts: its factors, its gradients, its memory."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import tfcompress as tfc
from tfcompress.layers import PowerOfTwoBatchNormalization
from tfcompress.normalization.power_of_two import HIGHEST, LOWEST, MANY, first_factor, signed_power

X = np.random.default_rng(0).normal(1.0, 2.0, size=(16, 5, 5, 3)).astype(np.float32)


def norm(shape=(None, 5, 5, 3), gamma=None, settled=False, **arguments):
    """A built layer; a settled one has moving averages that no batch moves."""
    layer = PowerOfTwoBatchNormalization(**{**({"momentum": 1.0} if settled else {}), **arguments})
    layer.build(shape)
    if gamma is not None:
        layer.gamma.assign(gamma)
    if settled:
        layer.batches.assign(MANY)
    return layer


def test_values_by_hand():
    """Means 2 and 1, variances 4 and 1; r = 1.2 / 2 and -3 / 1, so that s = 1 / 2 and -4."""
    layer = norm((None, 2), gamma=[1.2, -3.0], epsilon=0.0)
    layer.beta.assign([0.25, 1.0])
    x = np.float32([[0, 0], [4, 2]])
    np.testing.assert_array_equal(layer(x, training=True), [[-0.75, 5], [1.25, -3]])
    np.testing.assert_array_equal(layer.exponent, [-1, 2])
    np.testing.assert_array_equal(layer.sign, [1, -1])
    np.testing.assert_array_equal(layer.factor, np.float32([0.5, -4]))
    np.testing.assert_array_equal(layer.offset, np.float32([-0.75, 5]))
    np.testing.assert_array_equal(layer(np.float32([[10, 0.5]])), [[4.25, 3]])


def test_training_divides_by_the_deviation_of_the_batch_and_inference_does_not():
    """The batch has four times the moving variance: the factor in training is half that of inference."""
    layer = norm((None, 1), gamma=[1.3], settled=True, epsilon=0.0)
    x = np.float32([[-2], [2]])
    np.testing.assert_allclose(layer(x, training=True), x / 2, rtol=1e-6)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x[:1]), layer(x)[:1])


def test_inference_is_one_exact_product_and_one_sum():
    layer = norm(gamma=[0.9, -0.02, 30.0])
    layer(X, training=True)
    np.testing.assert_array_equal(np.frexp(np.abs(layer.factor))[0], 0.5)
    codes = np.random.default_rng(1).integers(-128, 128, (4, 5, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(codes), (codes * layer.factor + layer.offset).astype(np.float32))
    np.testing.assert_array_equal(layer(codes), layer(codes, training=False))


@settings(deadline=None, max_examples=100)
@given(st.floats(-1e4, 1e4, width=32), st.floats(0, 1e6, width=32))
def test_the_factor_is_the_power_of_two_nearest_to_r_in_the_logarithm(gamma, variance):
    exponent, sign = first_factor(np.float32([gamma]), np.float32([variance]), 1e-3)
    factor = float(signed_power(exponent, sign)[0])
    assert np.frexp(abs(factor))[0] == 0.5
    r = gamma / np.sqrt(np.float64(variance) + 1e-3)
    if 2.0**LOWEST < abs(r) < 2.0**HIGHEST:
        assert 2**-0.5001 < factor / r < 2**0.5001  # gamma' over gamma, too: both are times sqrt(v + epsilon)
    else:
        assert abs(factor) in (2.0**LOWEST, 2.0**HIGHEST)


def test_twice_the_gamma_is_one_octave_and_a_little_more_is_nothing():
    def exponents(factor):
        return np.array(first_factor(np.float32([1.0, -0.3, 7.0]) * np.float32(factor), np.float32([1, 4, 9]), 0.0)[0])

    np.testing.assert_array_equal(exponents(2.0) - exponents(1.0), 1)
    np.testing.assert_array_equal(exponents(1.1), exponents(1.0))
    np.testing.assert_array_equal(first_factor(np.float32([1.41, 1.42]), np.float32([1, 1]), 0.0)[0], [0, 1])


def test_a_gamma_of_zero_is_the_smallest_factor_and_learns():
    layer = norm(gamma=[0.0, 1.0, 1.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X, training=True) ** 2 * X)
    assert layer.factor[0] == 2.0**LOWEST
    assert tape.gradient(loss, layer.gamma.value)[0] != 0


# Gradients


def reference(x, gamma_used, beta, epsilon):
    """Batch norm in float64 with gradients by TensorFlow."""
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    normal = (x - mean) / tf.sqrt(variance + epsilon)
    return gamma_used * normal + beta, normal


def test_gradients_are_those_of_a_batch_norm_with_the_approximated_gamma():
    layer = norm(gamma=[0.8, -1.7, 0.3], settled=True)
    layer.moving_variance.assign([3.0, 5.0, 0.5])
    x, upstream = tf.Variable(X), np.random.default_rng(1).normal(size=X.shape)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x, training=True) * upstream.astype(np.float32))
    by_x, by_gamma, by_beta = tape.gradient(total, [x, layer.gamma.value, layer.beta.value])
    gamma = layer.factor * np.sqrt(np.float64([3.0, 5.0, 0.5]) + 1e-3)
    wide = tf.Variable(X.astype(np.float64))
    with tf.GradientTape() as tape:
        y, normal = reference(wide, gamma, 0.0, 1e-3)
        total = tf.reduce_sum(y * upstream)
    np.testing.assert_allclose(by_x, tape.gradient(total, wide), atol=1e-5)
    np.testing.assert_allclose(by_gamma, np.sum(upstream * normal, (0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(by_beta, np.sum(upstream, (0, 1, 2)), rtol=1e-4)
    assert not np.allclose(gamma, layer.gamma, rtol=0.05)


# State


def test_moving_averages_are_plain_at_first_and_follow_with_momentum_then():
    layer, batches = norm(momentum=0.75), [X * k for k in (1.0, 0.5, 2.0, 3.0, 0.1, 1.5)]
    expected = np.zeros(3), np.zeros(3)
    for k, batch in enumerate(batches):
        layer(batch, training=True)
        rate = max(0.25, 1 / (k + 1))
        now = batch.mean((0, 1, 2)), batch.astype(np.float64).var((0, 1, 2))
        expected = tuple(old + rate * (new - old) for old, new in zip(expected, now))
    np.testing.assert_allclose(layer.moving_mean, expected[0], rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, expected[1], rtol=1e-5)
    r = 1 / np.sqrt(expected[1] + 1e-3)
    np.testing.assert_array_equal(layer.exponent, np.rint(np.log2(r)))


def test_a_frozen_factor_stays_and_the_rest_goes_on():
    found = []
    for freeze_step in (2, None):
        layer = norm(freeze_step=freeze_step)
        for k in range(4):
            layer.gamma.assign([-(3.0**k), 3.0**k, (-1.0) ** k])
            layer(X, training=True)
            found += [layer.factor] if k in (1, 3) else []
        np.testing.assert_allclose(layer.moving_mean, X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[3] != found[2])[:2].all()


def test_a_layer_that_is_not_trainable_runs_as_at_inference():
    layer = norm()
    layer(X, training=True)
    before = [np.array(v) for v in layer.variables]
    layer.trainable = False
    np.testing.assert_array_equal(layer(X, training=True), layer(X))
    for old, new in zip(before, layer.variables):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str)
def test_gamma_and_beta_may_be_absent(arguments):
    layer = norm(**arguments)
    layer(X, training=True)
    assert len(layer.trainable_variables) == 2 - len(arguments)
    np.testing.assert_array_equal(layer.exponent, -1)  # 1 / 2
    np.testing.assert_array_equal(layer(X), X * layer.factor + layer.offset)


def test_another_axis_is_the_same_turned():
    first, last = norm((None, 3, 5, 5), axis=1), norm()
    turned = np.moveaxis(X, -1, 1)
    for training in (True, False):
        y = np.moveaxis(np.array(first(turned, training=training)), 1, -1)
        np.testing.assert_allclose(y, last(X, training=training), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(first.factor, last.factor)


def test_what_is_masked_does_not_count():
    x, mask = X[:, :, 0], np.arange(5) < np.arange(16)[:, None] % 5 + 1
    layer = norm((None, 5, 3))
    layer(x, mask=tf.constant(mask), training=True)
    np.testing.assert_allclose(layer.moving_mean, x[mask].mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, x[mask].var(0), rtol=1e-5)


def test_mixed_precision_keeps_state_in_float32():
    mixed, plain = norm(dtype="mixed_bfloat16"), norm()
    assert mixed(X, training=True).dtype == tf.bfloat16
    plain(tf.cast(tf.cast(X, tf.bfloat16), tf.float32), training=True)
    np.testing.assert_array_equal(mixed.moving_variance, plain.moving_variance)
    np.testing.assert_array_equal(mixed.factor, plain.factor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.1}, "`momentum` must be from 0 to 1"),
        ({"freeze_step": -1}, "`freeze_step` must be at least 0"),
        ({"shape": (None, None), "name": "mine"}, "'mine' must know the number of its channels, axis -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        norm(**arguments)


# In a model


def network(**arguments):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((5, 5, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
    x = layers.ReLU()(PowerOfTwoBatchNormalization(momentum=0.8, name="norm", **arguments)(x))
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    for weight in (model.get_layer("conv").kernel, model.get_layer("head").kernel):
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def fit(model, epochs=2, **options):
    if not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.02), loss, **options)
    y = (X[..., 0].mean((1, 2)) > X[..., 1].mean((1, 2))).astype(int)
    model.fit(X, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return model


def states(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def test_a_model_is_saved_and_trains_on_as_if_never_interrupted(tmp_path):
    regularizer = keras.regularizers.L2(1e-3)
    model = fit(network(freeze_step=6, gamma_regularizer=regularizer))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("norm").get_config() == model.get_layer("norm").get_config()
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    for a, b in zip(states(fit(model)), states(fit(loaded)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.get_layer("norm").step) == 16


@pytest.mark.parametrize("options", [{"steps_per_execution": 4}, {"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_every_way_of_running_trains_the_same(options):
    tolerance = 1e-4 if "jit_compile" in options else 1e-6
    for a, b in zip(states(fit(network(), jit_compile=False)), states(fit(network(), **options)), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def test_transforms_on_gamma_and_kernel_leave_inference_exact_and_strip_makes_it_plain():
    rules = {"conv": {"kernel": tfc.LookUpTable(8, "power_of_two")}, "norm": {"gamma": tfc.LSQ(bits=8)}}
    small = fit(tfc.compress(network(), rules))
    plain = tfc.strip(small)
    assert isinstance(plain.get_layer("norm"), layers.Rescaling)
    np.testing.assert_array_equal(plain.predict(X, verbose=0), small.predict(X, verbose=0))
    first = network(axis=-1)
    other = keras.Sequential([keras.Input((3, 5, 5)), PowerOfTwoBatchNormalization(axis=1)])
    np.testing.assert_array_equal(tfc.strip(other)(X.transpose(0, 3, 1, 2)), other(X.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(tfc.strip(first).predict(X, verbose=0), first.predict(X, verbose=0))


def test_channels_are_removed_with_what_the_layer_knows_of_them():
    model = fit(network())
    small = tfc.edits.remove_channels(model, {"conv": np.array([True, False, True, True])})
    kept = model.get_layer("norm").factor[[0, 2, 3]]
    np.testing.assert_array_equal(small.get_layer("norm").factor, kept)
    model.get_layer("conv").kernel.assign(model.get_layer("conv").kernel * np.float32([1, 0, 1, 1]))
    model.get_layer("norm").beta.assign(model.get_layer("norm").beta * [1, 0, 1, 1])
    model.get_layer("norm").moving_mean.assign(model.get_layer("norm").moving_mean * [1, 0, 1, 1])
    np.testing.assert_allclose(small(X), model(X), atol=1e-5)


PEER = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_power_of_two as tests
np.savez(sys.argv[2], *tests.{}())
"""


def run(function, path, **environment):
    """What a function of this file returns in a process of its own."""
    command = [sys.executable, "-c", PEER.format(function), os.path.dirname(__file__), path / "peer.npz"]
    subprocess.run(command, env={**os.environ, **environment}, check=True)
    return list(np.load(path / "peer.npz").values())


def trained():
    return states(fit(network(), jit_compile=True))


def replicas():
    """The state of two replicas, one behind the other."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = fit(network())
    local = strategy.experimental_local_results
    return [v.numpy() for k in (0, 1) for v in (local(variable.value)[k] for variable in model.variables)]


@pytest.mark.slow
def test_jax_trains_the_same(tmp_path):
    pytest.importorskip("jax")
    for mine, jax in zip(trained(), run("trained", tmp_path, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu"), strict=True):
        np.testing.assert_allclose(jax, mine, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_replicas_keep_one_state(tmp_path):
    found = run("replicas", tmp_path)
    first, second = found[: len(found) // 2], found[len(found) // 2 :]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(first) == 10 and all(np.isfinite(a).all() for a in first)
