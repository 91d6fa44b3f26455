"""Noise, its price, and what is switched off."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfcompress as tfc
from tfcompress.gating.information_bottleneck import InformationBottleneck, divergence, log_alpha

X = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)


def gate(mean=(1.0, 0.5, -2.0), log_variance=(-9.0, 0.0, 0.0), **arguments):
    layer = InformationBottleneck(**{"kl": 0.1, "seed": 0, **arguments})
    layer.build((None, 4, 4, 3))
    layer.mean.assign(mean)
    layer.ratio.assign(np.array(log_variance) / 9)
    return layer


def test_the_divergence_is_that_of_two_normal_distributions():
    mean, log_variance = np.array([1.0, -0.5], np.float32), np.array([-2.0, 0.3], np.float32)
    variance, best = np.exp(log_variance), np.exp(log_variance) + mean**2  # of the prior N(0, best)
    closed = np.sum(0.5 * (np.log(best / variance) + (variance + mean**2) / best - 1))
    assert float(divergence(mean, log_variance)) == pytest.approx(closed, rel=1e-5)
    worse = np.sum(0.5 * (np.log(1.1 * best / variance) + (variance + mean**2) / (1.1 * best) - 1))
    assert worse > closed
    assert np.allclose(log_alpha(mean, log_variance), np.log(variance / mean**2), atol=1e-5)


def test_inference_multiplies_by_the_mean_and_switches_off_what_is_more_noise_than_signal():
    layer = gate()
    np.testing.assert_allclose(layer(X), X * np.array([1.0, 0.0, -2.0]), rtol=1e-6)
    np.testing.assert_array_equal(layer.factor, [1.0, 0.0, -2.0])
    assert layer.keep.tolist() == [True, False, True]
    np.testing.assert_allclose(layer.importance, [np.exp(4.5), 0.5, 2.0], rtol=1e-4)
    np.testing.assert_array_equal(layer(X), layer(X, training=False))


def test_the_threshold_moves_the_border_and_one_channel_always_stays():
    assert gate(threshold=2.0).keep.tolist() == [True, True, True]
    assert gate(threshold=-5.0).keep.tolist() == [True, False, False]
    assert gate(threshold=-50.0).keep.tolist() == [True, False, False]


def test_training_draws_one_number_per_sample_and_channel():
    layer = gate(log_variance=(0.0, 0.0, 0.0))
    first, second = (np.asarray(layer(np.ones_like(X), training=True)) for _ in range(2))
    assert not np.allclose(first, second)
    assert np.ptp(first, axis=(1, 2)).max() == 0 and np.unique(first).size == 15
    many = np.asarray(layer(np.ones((20000, 1, 1, 3), np.float32), training=True)).reshape(-1, 3)
    np.testing.assert_allclose(many.mean(axis=0), [1.0, 0.5, -2.0], atol=0.03)
    np.testing.assert_allclose(many.std(axis=0), 1.0, atol=0.03)


@pytest.mark.parametrize(("positions", "factor"), [("side", 4), ("all", 16), ("one", 1)])
def test_the_price_is_the_divergence_times_kl_and_positions(positions, factor):
    layer = gate(positions=positions)
    layer(X, training=True)
    expected = 0.1 * factor * 0.5 * np.sum(np.log(1 + np.array([1, 0.25, 4]) / np.exp([-9.0, 0, 0])))
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-4)
    layer = gate()
    layer(X, training=False)
    assert layer.losses == []


def test_descent_on_the_ratio_is_descent_on_the_log_variance():
    import tensorflow as tf

    layer = gate(positions="one")
    with tf.GradientTape() as tape:
        layer(X, training=True)
        price = layer.losses[0]
    by_mean, by_ratio = tape.gradient(price, [layer.mean.value, layer.ratio.value])
    mean, variance = np.array([1.0, 0.5, -2.0]), np.exp([-9.0, 0, 0])
    np.testing.assert_allclose(by_mean, 0.1 * mean / (variance + mean**2), rtol=1e-4)
    by_log_variance = -0.05 * mean**2 / (variance + mean**2)
    np.testing.assert_allclose(9 * by_ratio, by_log_variance, rtol=1e-4)  # a step on r times 9 is the step on log var


def test_a_new_gate_is_almost_open_and_nothing_is_off():
    layer = InformationBottleneck(seed=0)
    layer.build((None, 64))
    assert layer.keep.all() and np.abs(layer.factor - 1).max() < 0.05
    log_variance = np.asarray(layer.log_variance)
    assert np.abs(log_variance + 9).max() < 0.05 and np.corrcoef(layer.factor, log_variance)[0, 1] < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kl": -1.0}, "`kl` must be at least 0. Received: kl=-1.0"),
        ({"positions": "few"}, "`positions` must be one of"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        InformationBottleneck(**arguments)


def test_a_map_of_unknown_size_is_refused_if_its_size_counts():
    with pytest.raises(ValueError, match="'g' must know the size of its input"):
        InformationBottleneck(name="g").build((None, None, None, 3))
    InformationBottleneck(positions="one").build((None, None, None, 3))


def network(kl=1e-2):
    keras.utils.set_random_seed(0)
    stack = [layers.Dense(8, activation="relu"), InformationBottleneck(kl=kl, seed=1, name="g"), layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *stack])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    return model


DATA = (np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32), np.ones((64, 2), np.float32))


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 8}, {"run_eagerly": True}, {"jit_compile": True}])
def test_it_trains_in_every_mode_and_reloads_equal(options, tmp_path):
    model = network()
    model.compile(keras.optimizers.Adam(1e-2), "mse", **options)
    before = model.get_layer("g").ratio.numpy()
    model.fit(*DATA, batch_size=8, epochs=1, shuffle=False, verbose=0)
    assert (model.get_layer("g").ratio.numpy() != before).all()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(DATA[0]), model(DATA[0]))
    resumed = [m.fit(*DATA, batch_size=8, shuffle=False, verbose=0) and m.get_weights() for m in (model, again)]
    assert all(np.array_equal(a, b) for a, b in zip(*resumed, strict=True))


def test_the_price_can_be_annealed():
    model = network()
    model.fit(*DATA, batch_size=8, verbose=0, callbacks=[tfc.callbacks.Anneal("kl", lambda step: 0.1 * step)])
    assert float(model.get_layer("g").kl) == pytest.approx(0.7)


def test_under_mixed_precision_state_stays_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
        model.fit(*DATA, batch_size=8, verbose=0)
        assert model.get_layer("g").mean.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(policy)


PEER = """
import json, sys, keras, numpy as np
from tfcompress.layers import InformationBottleneck
layer = InformationBottleneck(kl=0.1, seed=0)
layer.build((None, 4, 4, 3))
layer.mean.assign([1.0, 0.5, -2.0]); layer.ratio.assign([-1.0, 0.0, 0.0])
x = np.ones((2, 4, 4, 3), np.float32)
y = np.asarray(layer(x, training=False)); layer(x, training=True)
model = keras.Sequential([keras.Input((3,)), InformationBottleneck(kl=0.1), keras.layers.Dense(1)])
model.compile("adam", "mse"); model.fit(np.ones((16, 3)), np.ones((16, 1)), verbose=0)
print(json.dumps([y[0, 0, 0].tolist(), float(layer.losses[0])]))
"""


@pytest.mark.slow
def test_jax_agrees(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    made = subprocess.run([sys.executable, "-c", PEER], capture_output=True, text=True, check=True).stdout
    factor, price = json.loads(made.splitlines()[-1])
    np.testing.assert_allclose(factor, [1.0, 0.0, -2.0], rtol=1e-6)
    layer = gate()
    layer(X, training=True)
    assert price == pytest.approx(float(ops.convert_to_numpy(layer.losses[0])), rel=1e-5)
