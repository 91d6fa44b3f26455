"""The loss that shapes batches."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tfcompress as tfc
from tfcompress.regularizers import BatchShaping

RNG = np.random.default_rng(0)


def expected(x, prior):
    """Section 3.1 of the paper, gate by gate."""
    x = np.sort(x.astype(np.float64), axis=0)
    ranks = np.arange(1, len(x) + 1)[:, None] / (len(x) + 1)
    return np.mean((ranks - prior.cdf(x)) ** 2)


@pytest.mark.parametrize("parameters", [(0.6, 0.4), (2, 6)])
def test_the_loss_is_the_distance_of_two_distribution_functions(parameters):
    x = RNG.random((50, 7)).astype(np.float32)
    loss = BatchShaping(parameters=parameters, coefficient=3.0)(x)
    assert float(loss) == pytest.approx(3 * expected(x, stats.beta(*parameters)), rel=1e-4)


def test_values_drawn_from_the_prior_cost_almost_nothing():
    x = (np.arange(1, 100) / 100).astype(np.float32)[:, None]
    assert float(BatchShaping(parameters=(1, 1))(x)) < 1e-12 < 1e-2 < float(BatchShaping(parameters=(6, 2))(x))


def test_the_gradient_is_that_of_the_density_clipped():
    x = tf.Variable([[0.9], [0.0001], [0.5]])
    with tf.GradientTape() as tape:
        loss = BatchShaping()(x)
    gradient = tape.gradient(loss, x).numpy()
    prior = stats.beta(0.6, 0.4)
    ranks = np.array([[0.75], [0.25], [0.5]])
    slope = np.clip(prior.pdf(x.numpy()), 1e-3, 100)
    np.testing.assert_allclose(gradient, 2 / 3 * (prior.cdf(x.numpy()) - ranks) * slope, rtol=1e-3)
    near_the_end = tf.Variable([[1e-7], [0.5]])
    with tf.GradientTape() as tape:
        loss = BatchShaping()(near_the_end)
    clipped = tape.gradient(loss, near_the_end).numpy()[0, 0]
    assert prior.pdf(1e-7) > 100 and clipped == pytest.approx((prior.cdf(1e-7) - 1 / 3) * 100, rel=1e-3)


@pytest.mark.parametrize(
    ("prior", "parameters", "distribution"),
    [
        ("beta", (0.6, 0.4), stats.beta(0.6, 0.4)),
        ("beta", (2, 6), stats.beta(2, 6)),
        ("normal", (0.5, 0.1), stats.norm(0.5, 0.1)),
    ],
)
def test_free_points_take_the_shape_of_the_prior(prior, parameters, distribution):
    points = tf.Variable(RNG.uniform(0.2, 0.8, (256, 1)).astype(np.float32))
    optimizer, loss = (
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 1500)),
        BatchShaping(prior, parameters),
    )
    optimizer.build([points])
    before = stats.ks_1samp(points.numpy()[:, 0], distribution.cdf).statistic

    @tf.function
    def descend():
        for _ in tf.range(1500):
            with tf.GradientTape() as tape:
                distance = loss(points)
            optimizer.apply(tape.gradient(distance, [points]), [points])
            points.assign(tf.clip_by_value(points, 1e-6, 1 - 1e-6))

    descend()
    assert stats.ks_1samp(points.numpy()[:, 0], distribution.cdf).statistic < 0.03 < 0.1 < before


def test_a_batch_of_one_costs_nothing_and_a_known_one_warns():
    shaping = BatchShaping()
    with pytest.warns(UserWarning, match="this batch has one: its loss is 0"):
        assert float(shaping(np.full((1, 3), 0.3, np.float32))) == 0
    unknown = tf.function(shaping, input_signature=[tf.TensorSpec((None, 3))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(unknown(np.full((1, 3), 0.3, np.float32))) == 0 < float(unknown(np.full((2, 3), 0.3, np.float32)))


def test_it_is_a_regularizer_of_keras_and_of_any_layer():
    again = keras.regularizers.get(keras.regularizers.serialize(BatchShaping("normal", (0.1, 0.2), 0.5)))
    assert again.get_config() == {"prior": "normal", "parameters": [0.1, 0.2], "coefficient": 0.5}
    layer = keras.layers.Activation("sigmoid", activity_regularizer=tfc.regularizers.BatchShaping())
    layer(np.zeros((8, 2), np.float32))
    assert float(layer.losses[0]) > 0


@pytest.mark.parametrize("arguments", [{"prior": "gamma"}, {"parameters": (0.5,)}])
def test_arguments_are_checked(arguments):
    with pytest.raises(ValueError, match="`prior` must be one of"):
        BatchShaping(**arguments)
