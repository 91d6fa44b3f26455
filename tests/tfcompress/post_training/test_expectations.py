"""Means and variances that batch norms tell."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.post_training.expectations import expectations
from tfcompress.structure.trace import trace

BETA, GAMMA = np.array([-0.5, 0.3, 1.0, 2.0]), np.array([1.0, -0.5, 2.0, 0.1])


def normal(shape=(6, 6, 4), name="n"):
    """An input and a batch norm behind it that delivers N(BETA, GAMMA^2) for standard normal numbers."""
    inputs = keras.Input(shape)
    norm = layers.BatchNormalization(name=name, epsilon=1e-9)
    x = norm(inputs)
    norm.beta.assign(BETA)
    norm.gamma.assign(GAMMA)
    return inputs, x


def check(inputs, y, rtol=0.05, variance=True):
    """Against samples of the model."""
    model = keras.Model(inputs, y)
    shapes = [(4000, *i.shape[1:]) for i in (inputs if isinstance(inputs, list) else [inputs])]
    x = [np.random.default_rng(k).normal(size=s).astype(np.float32) for k, s in enumerate(shapes)]
    delivered = np.asarray(model(x if len(x) > 1 else x[0])).reshape(-1, y.shape[-1])
    traced = trace(model)
    mean, spread = expectations(traced)[traced.outputs[0]]
    np.testing.assert_allclose(mean, delivered.mean(0), rtol=rtol, atol=0.03)
    if variance:
        np.testing.assert_allclose(spread, delivered.var(0), rtol=2 * rtol, atol=0.02)
    return spread


@pytest.mark.parametrize(
    "layer",
    [
        layers.ReLU(), layers.ReLU(6), layers.ReLU(1.5), layers.ReLU(negative_slope=0.1), layers.LeakyReLU(),
        layers.Activation("silu"), layers.Activation("gelu"), layers.Activation("sigmoid"), layers.ELU(),
        layers.Dropout(0.5), layers.Rescaling(2.0, 0.5), layers.Cropping2D(1), layers.UpSampling2D(2), layers.Flatten(),
        layers.Reshape((9, 16)),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_layers_that_work_on_single_numbers(layer):
    inputs, x = normal()
    check(inputs, layer(x), rtol=0.2 if isinstance(layer, layers.Flatten) else 0.05)


@pytest.mark.parametrize(
    "layer",
    [
        layers.AveragePooling2D(2), layers.AveragePooling2D(3, 2, padding="same"), layers.GlobalAveragePooling2D(),
        layers.ZeroPadding2D(1), layers.Conv2D(3, 3, padding="same"), layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.Conv2DTranspose(3, 3, strides=2, padding="same"), layers.SeparableConv2D(3, 3), layers.Dense(3),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_layers_behind_which_the_variance_is_not_known(layer):
    inputs, x = normal()
    assert np.isnan(check(inputs, layer(layers.ReLU()(x)), variance=False)).all()


@pytest.mark.parametrize("merge", [layers.Add, layers.Subtract, layers.Average, layers.Concatenate])
def test_branches(merge):
    (a, x), (b, y) = normal(name="n"), normal(name="m")
    y = merge()([layers.ReLU()(x), y])
    check([a, b], y if merge is layers.Concatenate else layers.ReLU()(y), rtol=0.1)


@pytest.mark.parametrize(
    "layer",
    [layers.MaxPooling2D(), layers.Softmax(), layers.LayerNormalization(), layers.BatchNormalization(axis=1)],
    ids=lambda layer: type(layer).__name__,
)
def test_what_is_not_known_is_not_a_number(layer):
    inputs, x = normal()
    traced = trace(keras.Model(inputs, layer(x)))
    assert np.isnan(expectations(traced)[traced.outputs[0]][0]).all()


def test_a_product_is_not_known_and_a_batch_norm_ends_the_ignorance():
    inputs, x = normal()
    x = layers.Multiply()([x, x])
    traced = trace(keras.Model(inputs, layers.BatchNormalization(center=False, scale=False)(x)))
    found = expectations(traced)
    assert np.isnan(found[traced.calls[-2].outputs[0]][0]).all()
    np.testing.assert_array_equal(found[traced.outputs[0]], [np.zeros(4), np.ones(4)])


def test_given_means_of_inputs_go_on():
    inputs = keras.Input((4,))
    dense = layers.Dense(2)
    traced = trace(keras.Model(inputs, dense(inputs)))
    mean, _ = expectations(traced, {traced.inputs[0]: np.array(0.5)})[traced.outputs[0]]
    np.testing.assert_allclose(mean, 0.5 * dense.kernel.numpy().sum(0), rtol=1e-6)
