import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcompress import LSQ, AnalyticThreshold, Chain, testing
from tfcompress.pruning import analytic_threshold
from tfcompress.schedules import Ramp

SPEED = 10.0
PRICES = (2e-7, 1e-6, 1e-5, 1e-4)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(transform, x, alpha=None, beta=None):
    """``alpha`` and ``beta`` relative to the standard deviation."""
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    if alpha is not None:
        transform.a.assign(math.log(alpha) / SPEED)
    if beta is not None:
        transform.b.assign(math.log(beta) / SPEED)
    return transform


def h(w, alpha, beta):
    s = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    return 1 + s(beta * (w - alpha)) - s(beta * (w + alpha))


def test_values_by_hand():
    x = np.float32([[0.0, 0.5], [-0.5, 2.0]])
    transform = built(AnalyticThreshold(), x)
    transform.unit.assign(1.0)
    transform.a.assign(math.log(0.5) / SPEED)
    transform.b.assign(math.log(8.0) / SPEED)
    at_edge = 0.5 + 1 / (1 + math.exp(8.0))  # 1 + S(0) - S(8)
    np.testing.assert_allclose(transform(x, training=True), [[0, 0.5 * at_edge], [-0.5 * at_edge, 2]], rtol=1e-4)
    np.testing.assert_array_equal(transform(x), [[0, 0.5], [-0.5, 2.0]])  # the edge itself is kept


def test_all_gradients_are_the_slopes_of_finite_differences():
    x, upstream = normal(7, 6), normal(7, 6, seed=1)
    transform = built(AnalyticThreshold(0.3, sharpening=0.7), x, alpha=0.8, beta=5.0)
    variable, unit = tf.Variable(x), float(transform.unit)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(transform(variable, training=True) * upstream) + transform.losses[0]
    by_x, by_a, by_b = tape.gradient(total, [variable, transform.a.value, transform.b.value])

    def loss(x, a, b):
        gates = h(x, unit * math.exp(SPEED * a), math.exp(SPEED * b) / unit)
        return np.sum(x * gates * upstream) + 0.3 * np.sum(gates) + 0.7 * (20 / math.exp(SPEED * b)) ** 2

    a, b, x, size = float(transform.a), float(transform.b), np.float64(x), 1e-6
    assert float(total) == pytest.approx(loss(x, a, b), rel=1e-5)
    assert float(by_a) == pytest.approx((loss(x, a + size, b) - loss(x, a - size, b)) / (2 * size), rel=1e-3)
    assert float(by_b) == pytest.approx((loss(x, a, b + size) - loss(x, a, b - size)) / (2 * size), rel=1e-3)
    for index in np.ndindex(x.shape):
        move = np.zeros(x.shape)
        move[index] = size
        slope = (loss(x + move, a, b) - loss(x - move, a, b)) / (2 * size)
        assert float(by_x[index]) == pytest.approx(slope, rel=1e-3, abs=1e-4)
    assert np.any(np.abs(by_x - upstream * h(x, unit * 0.8, 5 / unit)) > 0.1)  # h alone would not do


def test_the_edges_start_relative_to_the_spread_of_the_weights():
    for scale in (1e-3, 1.0, 50.0):
        x = scale * normal(100, 100)
        transform = built(AnalyticThreshold(), x)
        assert float(transform.alpha(x)) == pytest.approx(0.25 * scale, rel=0.02)
        assert float(transform.beta) == pytest.approx(20 / scale, rel=0.02)


def test_nothing_is_delivered_before_the_weights_are_known():
    x = normal(30, 20)
    transform = AnalyticThreshold()
    transform.build(x.shape)
    transform.built = True
    assert np.isnan(transform(x, training=False)).any()
    transform(x, training=True)
    assert float(transform.unit) == pytest.approx(x.std(), rel=1e-4)
    np.testing.assert_array_equal(transform(x), np.where(np.abs(x) >= float(transform.alpha(x)), x, 0))


def test_inference_is_hard_and_training_is_soft():
    x = normal(30, 20)
    transform = built(AnalyticThreshold(), x, alpha=1.0, beta=3.0)
    hard, soft = np.array(transform(x)), np.array(transform(x, training=True))
    np.testing.assert_array_equal(hard, np.where(np.abs(x) >= float(transform.alpha(x)), x, 0))
    assert 0.6 < np.mean(hard == 0) < 0.75 and np.all(soft != 0)


@pytest.mark.parametrize("size", [1, 10, 1000, 100_000])
def test_no_layer_dies(size):
    x = normal(size)
    transform = built(AnalyticThreshold(), x, alpha=100.0)
    kept = np.sum(np.array(transform(x)) != 0)
    assert 1 <= kept <= max(1, 0.01 * size)


def test_at_its_limit_the_band_can_only_become_narrower():
    def gradient(value, upstream):
        x = tf.Variable(value)
        with tf.GradientTape() as tape:
            y = analytic_threshold.at_most(x, tf.constant(1.0)) * upstream
        return float(tape.gradient(y, x))

    assert [gradient(0.5, u) for u in (-3.0, 3.0)] == [-3, 3]
    assert [gradient(1.5, u) for u in (-3.0, 3.0)] == [0, 3]


def test_sharpening_follows_its_schedule():
    x = normal(30, 20)
    transform = built(AnalyticThreshold(penalty=0.0, sharpening=Ramp(2, 4, 6.0)), x, beta=10.0)
    paid = []
    for _ in range(6):
        transform(x, training=True)
        paid.append(float(transform.losses[-1]))
    np.testing.assert_allclose(paid, [4 * c for c in (0, 0, 0, 3, 6, 6)], rtol=1e-5)


def test_speed_scales_how_far_an_optimizer_moves_the_edges_and_not_where_they_start():
    x, moved = normal(30, 20), []
    for speed in (5.0, 20.0):
        transform = built(AnalyticThreshold(0.1, speed=speed), x)
        assert float(transform.alpha(x)) == pytest.approx(0.25 * x.std(), rel=1e-4)
        optimizer = keras.optimizers.Adam(1e-3)
        with tf.GradientTape() as tape:
            transform(x, training=True)
            loss = transform.losses[-1]
        optimizer.apply([tape.gradient(loss, transform.a.value)], [transform.a])
        moved.append(math.log(float(transform.alpha(x)) / (0.25 * x.std())))
    assert moved[1] == pytest.approx(4 * moved[0], rel=0.01) and moved[0] > 0.004


def test_the_schedule_is_part_of_the_configuration():
    twin = AnalyticThreshold.from_config(AnalyticThreshold(sharpening=Ramp(2, 4, 6.0)).get_config())
    assert isinstance(twin.sharpening, Ramp) and float(twin.sharpening(3)) == 3
    assert AnalyticThreshold.from_config(AnalyticThreshold(sharpening=0.5).get_config()).sharpening == 0.5


def test_the_share_in_transition_is_counted():
    x = normal(100, 100)
    transform = built(AnalyticThreshold(), x, alpha=1.0, beta=20.0)
    gates = h(np.float64(x), float(transform.alpha(x)), float(transform.beta))
    assert float(transform.transition(x)) == pytest.approx(np.mean((gates > 0.05) & (gates < 0.95)), abs=2e-4)
    transform.b.assign(math.log(20_000.0) / SPEED)
    assert float(transform.transition(x)) < 0.001


def test_a_frozen_mask_stays_and_training_sees_what_is_deployed():
    x = normal(30, 20)
    transform = built(AnalyticThreshold(0.01, freeze_step=1), x, alpha=1.0)
    assert not np.array_equal(transform(x, training=True), transform(x))
    y = np.array(transform(x, training=True))
    np.testing.assert_array_equal(y, np.where(np.abs(x) >= float(transform.alpha(x)), x, 0))
    np.testing.assert_array_equal(transform(-3 * x, training=False) != 0, y != 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": -1e-3}, "`penalty`"),
        ({"freeze_step": -1}, "`freeze_step`"),
        ({"sharpening": -1}, "`sharpening`"),
        ({"speed": 0}, "`speed`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        AnalyticThreshold(**arguments)


def test_feature_maps_are_refused():
    with pytest.raises(ValueError, match=r"AnalyticThreshold 'mine' must be on a weight.*Received: "):
        AnalyticThreshold(name="mine").build((None, 4))


@pytest.mark.parametrize("arguments", [{}, {"penalty": 0.1, "sharpening": Ramp(1, 3), "freeze_step": 3}])
def test_the_laws_are_kept(arguments):
    testing.check_transform(lambda: AnalyticThreshold(**arguments), (9, 5))


def test_a_chain_keeps_the_zeros():
    testing.check_transform(lambda: Chain([AnalyticThreshold(), LSQ(4)]), (9, 5))


@pytest.fixture(scope="module")
def late(steps_per_epoch):
    """Sharp edges from 60 % of ten epochs on."""
    return Ramp(6 * steps_per_epoch, 8 * steps_per_epoch)


@pytest.fixture(scope="module")
def runs(digits, late):
    """By price: the digits network, pruned."""
    return {price: digits.pruned(AnalyticThreshold(price, sharpening=late)) for price in PRICES}


def transition(run):
    """The largest share of weights in transition over the layers of many weights."""
    return max(
        float(t.transition(run.latent[name])) for name, t in run.transforms.items() if run.latent[name].size > 500
    )


@pytest.mark.slow
def test_a_higher_price_makes_more_zeros(runs):
    found = [runs[price].sparsity for price in PRICES]
    assert all(more > less + 0.03 for less, more in itertools.pairwise(found)), found
    assert found[0] < 0.5 and found[-1] > 0.8, found


@pytest.mark.slow
def test_a_pruned_network_with_batch_norms_is_as_good_as_before(runs, digits):
    assert runs[1e-5].sparsity > 0.55
    assert runs[1e-5].accuracy > digits.accuracy - 0.005


@pytest.mark.slow
def test_each_layer_learns_both_of_its_parameters(runs):
    names = runs[1e-5].transforms
    alphas = [math.exp(SPEED * float(names[n].a)) for n in names]
    betas = [math.exp(SPEED * float(names[n].b)) for n in names]
    assert all(abs(math.log(alpha / 0.25)) > 0.05 for alpha in alphas) and max(alphas) > 2 * min(alphas), alphas
    assert all(abs(math.log(beta / 20)) > 0.5 for beta in betas) and max(betas) > 1.2 * min(betas), betas


@pytest.mark.slow
def test_the_late_ramp_makes_the_edges_sharp_and_without_it_they_are_soft(runs, digits):
    soft = digits.pruned(AnalyticThreshold(1e-4, sharpening=0.0))
    assert transition(soft) > 0.1
    assert abs(digits.soft_accuracy(soft) - soft.accuracy) > 0.01
    for run in runs.values():
        assert transition(run) < 0.01
        assert abs(digits.soft_accuracy(run) - run.accuracy) < 0.005


@pytest.mark.slow
def test_the_late_ramp_leaves_more_zeros_than_the_same_price_from_the_start(runs, digits):
    assert digits.pruned(AnalyticThreshold(1e-5)).sparsity < runs[1e-5].sparsity - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("parameter", ["a", "b"])
def test_with_either_parameter_held_fixed_the_result_is_worse(runs, digits, late, parameter):
    class Held(AnalyticThreshold):
        def build(self, input_shape):
            super().build(input_shape)
            getattr(self, parameter).trainable = False

    held, free = digits.pruned(Held(1e-4, sharpening=late)), runs[1e-4]
    if parameter == "a":  # the band stays narrow
        assert held.sparsity < free.sparsity - 0.3
    else:  # weights are left half pruned, and deployed they are not what was trained
        assert transition(held) > 0.03 > 10 * transition(free)
        assert free.accuracy >= held.accuracy
