"""Every inverse inverts, and errors count where they show."""

import keras
import numpy as np
import pytest
from keras import activations, layers

from tfcompress.least_squares.activation_targets import LINEAR, RELU, RELU6, RULES, leaky, rule

P = np.linspace(-3, 3, 25)[:, None, None]


@pytest.mark.parametrize("name", ["linear", "elu", "softplus", "sigmoid", "tanh"])
def test_inverses(name):
    found = RULES[getattr(activations, name)]
    assert found.name == name
    np.testing.assert_allclose(found.inverse(found.apply(P)), P, atol=2e-3)


def test_leaky_relus():
    np.testing.assert_allclose(leaky(0.2).apply(P), np.where(P < 0, 0.2 * P, P))
    np.testing.assert_allclose(leaky(0.2).inverse(leaky(0.2).apply(P)), P)


@pytest.mark.parametrize("function", RULES, ids=lambda f: f.__name__)
def test_rules_compute_what_keras_computes(function):
    x = P.reshape(5, 5).astype(np.float32)
    np.testing.assert_allclose(RULES[function].apply(x), function(keras.ops.convert_to_tensor(x)), atol=1e-6)


def test_softmax_is_inverted_up_to_what_all_classes_share():
    found = RULES[activations.softmax]
    y = np.array([[[0.7, 0.2, 0.1]]])
    assert found.inverse(y).sum() == pytest.approx(0)
    np.testing.assert_allclose(found.apply(found.inverse(y)), y, atol=1e-6)


def test_a_relu_that_shall_be_silent_is_content_with_anything_below_zero():
    y, p = np.array([0.0, 0.0, 2.0, 2.0]), np.array([-3.0, 1.0, -3.0, 1.0])
    np.testing.assert_array_equal(RELU.targets(y, p), [-3, 0, 2, 2])
    y, p = np.array([0.0, 6.0, 6.0, 6.0]), np.array([-3.0, 9.0, 5.0, -1.0])
    np.testing.assert_array_equal(RELU6.targets(y, p), [-3, 9, 6, 6])


def test_where_a_sigmoid_is_flat_errors_count_less():
    steep, flat = RULES[activations.sigmoid].weight(np.array([0.5, 0.99]), np.zeros(2))
    assert steep == 1 and flat == pytest.approx((4 * 0.99 * 0.01) ** 2)
    assert RULES[activations.tanh].weight(np.array([0.6]), np.zeros(1)) == pytest.approx(0.64**2)


def test_what_a_layer_does_last():
    built = layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))
    built.build((None, 3))
    assert rule(built) == leaky(0.25) != leaky(0.3)
    built.alpha.assign([0.0, 0.1, 0.2])
    assert rule(built) is None
    assert rule(layers.ReLU()) == rule(layers.Dense(3, activation="relu")) == RELU
    assert rule(layers.ReLU(6)) == rule(layers.Activation("relu6")) == RELU6
    assert rule(layers.LeakyReLU(0.2)) == rule(layers.Dense(1, activation="leaky_relu")) == leaky(0.2)
    assert rule(layers.MaxPooling2D()) == rule(layers.Dense(1)) == LINEAR
    assert rule(layers.Softmax()).name == "softmax" and rule(layers.ELU()).name == "elu"
    unknown = (layers.ReLU(threshold=1), layers.Dense(1, activation="exponential"), layers.ELU(2.0), layers.Softmax(1))
    assert [rule(layer) for layer in unknown] == [None] * 4
