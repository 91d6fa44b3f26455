import numpy as np
import pytest
import tensorflow as tf

from tfcompress import edges

ALPHA, BETA = 0.7, 9.0


def closed_form(w, alpha=ALPHA, beta=BETA):
    """In float64: the mask and its three slopes."""
    right, left = (1 / (1 + np.exp(-beta * (w + shift))) for shift in (-alpha, alpha))
    s_right, s_left = right * (1 - right), left * (1 - left)
    slopes = beta * (s_right - s_left), -beta * (s_right + s_left), (w - alpha) * s_right - (w + alpha) * s_left
    return 1 + right - left, *slopes


def test_values_by_hand():
    leak = 2 / (1 + np.exp(ALPHA * BETA))
    h = edges.mask(tf.constant([0.0, ALPHA, -ALPHA, 3.0, -3.0]), ALPHA, BETA)
    np.testing.assert_allclose(h, [leak, 0.5 + 1 / (1 + np.exp(2 * ALPHA * BETA)), h[1], 1, 1], rtol=1e-5)


def test_closed_form_automatic_and_finite_differences_agree():
    w = np.linspace(-2, 2, 41)
    variables = [tf.Variable(v, dtype="float32") for v in (w, ALPHA, BETA)]
    upstream = np.random.default_rng(0).normal(size=w.shape)
    with tf.GradientTape() as tape:
        h = edges.mask(*variables)
        total = tf.reduce_sum(h * upstream)
    expected, by_w, by_alpha, by_beta = closed_form(w)
    np.testing.assert_allclose(h, expected, rtol=1e-5)
    found = tape.gradient(total, variables)
    np.testing.assert_allclose(found[0], upstream * by_w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1:], [np.sum(upstream * by_alpha), np.sum(upstream * by_beta)], rtol=1e-4)
    size = 1e-6
    differences = [
        (closed_form(w + size)[0] - closed_form(w - size)[0]) / (2 * size),
        (closed_form(w, alpha=ALPHA + size)[0] - closed_form(w, alpha=ALPHA - size)[0]) / (2 * size),
        (closed_form(w, beta=BETA + size)[0] - closed_form(w, beta=BETA - size)[0]) / (2 * size),
    ]
    np.testing.assert_allclose([by_w, by_alpha, by_beta], differences, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (1, 1)])
def test_parameters_broadcast_and_their_gradients_sum(shape):
    w = tf.constant(np.random.default_rng(0).normal(size=(4, 3)), tf.float32)
    alpha = tf.Variable(tf.fill(shape, ALPHA))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(edges.mask(w, alpha, BETA))
    slopes = closed_form(w.numpy().astype("float64"))[2]
    axes = tuple(k for k in range(2) if shape[k] == 1)
    np.testing.assert_allclose(tape.gradient(total, alpha), slopes.sum(axis=axes, keepdims=True), rtol=1e-4)


def test_sharp_edges_do_not_overflow():
    h = edges.mask(tf.constant([-1e12, -1.0, 0.0, 1.0, 1e12]), 1e-3, 1e6)
    np.testing.assert_array_equal(h, [1, 1, 0, 1, 1])
