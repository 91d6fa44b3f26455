"""One layer, fitted to signals: exact where it can be, the better of two ways where it cannot."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.least_squares.activation_targets import LINEAR, RELU, RULES
from tfcompress.least_squares.fit_layer import Fit, Fitting, fit_layer
from tfcompress.least_squares.sampled_rows import ALL, HELD, Signals

HOW = Fitting()


def dense(units, inputs, **kwargs):
    layer = layers.Dense(units, **kwargs)
    layer.build((None, inputs))
    return layer


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_linear_signals_are_met_exactly():
    z, w = gaussian(200, 5), gaussian(5, 3, seed=1)
    layer = dense(3, 5)
    assert fit_layer(layer, LINEAR, Signals([z], [z @ w + 2]), HOW) < 1e-9
    np.testing.assert_allclose(layer.kernel, w, atol=1e-4)
    np.testing.assert_allclose(layer.bias, 2, atol=1e-4)


@pytest.mark.parametrize("ratio", [0.0, 1.5])
def test_pseudo_targets_of_a_relu_beat_plain_least_squares_on_samples_not_seen(ratio):
    """``ratio``: how much of what is to be met no ReLU layer can do."""
    z, w = gaussian(1500, 12), gaussian(12, 6, seed=1)
    y = np.maximum(z @ w + ratio * np.abs(z) @ gaussian(12, 6, seed=2), 0).astype(np.float32)
    plain = Fit(dense(6, 12), RELU, Signals([z], [y]), Fitting(rounds=0), True)
    pseudo = Fit(dense(6, 12), RELU, Signals([z], [y]), HOW, True)
    errors = [fit.error(fit._inverted(fit._equations((0, 1, 2, 3)), (0, 1, 2, 3)), HELD) for fit in (plain, pseudo)]
    assert errors[1] < (0.02 if ratio == 0 else 0.98) * errors[0]


def test_the_better_of_both_targets_is_taken():
    """What stands in front of the ReLU is exact where the layer can do it, and misleads where it cannot."""
    z = gaussian(1500, 12)
    feasible = z @ gaussian(12, 6, seed=1)
    misleading = np.where(feasible > 0, feasible, -40 * np.abs(gaussian(1500, 6, seed=2))).astype(np.float32)
    for t, best in ((feasible, 1e-9), (misleading, 0.01)):
        signals = Signals([z], [np.maximum(t, 0)], [t])
        fit = Fit(dense(6, 12), RELU, signals, HOW, True)
        tapped = fit.error(fit._tapped(fit.equations, ALL), ALL)
        assert fit.error(fit.best(), ALL) <= min(tapped, best) + 1e-9
    assert tapped > 0.1


def test_a_flat_sigmoid_does_not_lead_astray():
    z = gaussian(1000, 6)
    y = 1 / (1 + np.exp(-6 * (z @ gaussian(6, 3, seed=1)) - gaussian(1000, 3, seed=2)))
    rule = RULES[keras.activations.sigmoid]
    errors = [Fit(dense(3, 6), rule, Signals([z], [y]), Fitting(rounds=n), True) for n in (0, 30)]
    errors = [fit.error(fit._inverted(fit.equations, ALL), ALL) for fit in errors]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_batch_norm_behind_does_nothing_at_first(use_bias):
    z, w = gaussian(400, 5), gaussian(5, 3, seed=1)
    y = z @ w - 1.5
    layer, norm = dense(3, 5, use_bias=use_bias), layers.BatchNormalization()
    norm.build((None, 3))
    fit_layer(layer, LINEAR, Signals([z], [y]), HOW, norm)
    inside = keras.ops.convert_to_numpy(layer(z))
    np.testing.assert_allclose(norm.moving_mean, inside.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, inside.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(norm(layer(z), training=False), y, atol=1e-3)
    np.testing.assert_allclose(norm(layer(z), training=True), y, atol=2e-2)


def test_few_rows_and_large_layers_are_warned_of():
    with pytest.warns(UserWarning, match="has 31 unknowns for each output, but the data are only 40 rows.*310 rows"):
        fit_layer(dense(2, 30), LINEAR, Signals([gaussian(40, 30)], [gaussian(40, 2)]), HOW)
