import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfcompress import Chain, MagnitudePruning, SignedPerturbation, testing
from tfcompress.pruning import signed_perturbation

LAWS = {
    "half_normal": stats.halfnorm,
    "uniform": stats.uniform,
    "exponential": stats.expon,
    "gamma": stats.gamma(2),
    "normal": stats.norm,
}
"""What SciPy calls the distributions, at scale 1."""


def built(transform, x):
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    return transform


def signs(size):
    """Of standard deviation 1."""
    return np.where(np.arange(size) % 2, -1, 1).astype("float32")


def descend(transform, start, gradient, rate, steps):
    """Trains by plain gradient descent in a graph: the share of steps at zero, and the deployed weights."""
    theta = tf.Variable(start)

    @tf.function
    def run():
        zeros = tf.zeros_like(theta)
        for _ in tf.range(steps):
            zeros += tf.cast(transform(theta.value(), training=True) == 0, "float32")
            theta.assign_sub(rate * gradient)
        return zeros / tf.cast(steps, "float32"), transform(theta.value(), training=False)

    return tuple(np.array(a) for a in run())


def test_values_by_hand():
    w = tf.constant([0.3, -0.3, 0.1, -0.1, 0.0])
    np.testing.assert_allclose(signed_perturbation.shrink(w, 0.2), [0.1, -0.1, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(signed_perturbation.shrink(w, -0.2), [0.5, -0.5, 0.3, -0.3, 0], rtol=1e-6)


@pytest.mark.parametrize("distribution", LAWS)
def test_what_magnitudes_lose_follows_the_distribution_and_no_sign_turns(distribution):
    x = signs(100_000)
    transform = built(SignedPerturbation(0.05, distribution=distribution, seed=1), x)
    lost = 1 - np.abs(transform(x, training=True)).astype("float64")
    assert stats.kstest(lost / 0.05, LAWS[distribution].cdf).pvalue > 1e-3
    assert lost.mean() == pytest.approx(0.05 * LAWS[distribution].mean(), abs=4 * 0.05 * LAWS[distribution].std() / 316)
    weak = built(SignedPerturbation(0.7, distribution=distribution, seed=1), x)
    y = np.stack([np.array(weak(x, training=True)) for _ in range(6)])
    assert set(np.unique(np.sign(y) * x)) <= {0.0, 1.0} and (y == 0).any()


def test_xla_draws_from_the_same_law():
    x = signs(20_000)
    transform = built(SignedPerturbation(0.05, seed=1), x)
    step = tf.function(lambda x: transform(x, training=True), jit_compile=True)
    first, second = (np.array(step(x)) for _ in range(2))
    assert stats.kstest((1 - np.abs(first)) / 0.05, stats.halfnorm.cdf).pvalue > 1e-3
    assert stats.kstest((np.abs(first) - np.abs(second)) / 0.05, stats.halfnorm.cdf).pvalue > 1e-3


def test_odd_sizes_and_shapes_get_one_number_each():
    for shape in [(1,), (3, 3, 5, 7)]:
        drawn = np.array(signed_perturbation.DISTRIBUTIONS["half_normal"](shape, keras.random.SeedGenerator(0)))
        assert drawn.shape == shape and len(np.unique(drawn)) == drawn.size


def test_weights_without_a_gradient_reach_zero_when_the_mean_says():
    start, scale = 0.3, 5e-4
    x = start * signs(500)
    transform = built(SignedPerturbation(scale / start, seed=0), x)
    share, deployed = descend(transform, x, 0 * x, 0.0, 1500)
    hit = 1500 * (1 - share)
    assert np.median(hit) == pytest.approx(start / (scale * math.sqrt(2 / math.pi)), rel=0.02)
    assert np.all(deployed == 0)


def test_without_drift_there_are_no_zeros():
    start, scale = 0.3, 5e-4
    x = start * signs(500)
    without = built(SignedPerturbation(scale / start, distribution="normal", seed=0), x)
    assert np.mean(descend(without, x, 0 * x, 0.0, 752)[1] == 0) < 0.01
    drifting = built(SignedPerturbation(scale / start, seed=0), x)
    assert 0.3 < np.mean(descend(drifting, x, 0 * x, 0.0, 752)[1] == 0) < 0.7


def test_a_weight_stays_at_zero_where_its_updates_are_below_what_it_loses():
    """Zero is held up to a gradient of about mu / learning rate, here 0.04."""
    rate, scale = 1e-2, 5e-4
    gradients = np.repeat(np.float32([0, 0.005, 0.02, 0.1]), 100)
    start = scale * signs(400)
    transform = built(SignedPerturbation(1.0, seed=0), start)
    share = descend(transform, start, gradients, rate, 2000)[0].reshape(4, 100).mean(axis=1)
    np.testing.assert_allclose(share, [1.0, 0.92, 0.62, 0.0], atol=0.02)


def test_expected_trajectory_is_that_of_soft_thresholding():
    """A gradient that works against the loss, for and against the sign, and none: lambda is mu / learning rate."""
    rate, scale, steps, count = 1e-2, 5e-4, 400, 4000
    mu = scale * math.sqrt(2 / math.pi)
    gradients = np.repeat(np.float32([-0.02, 0.0, 0.02]), count)
    start = np.full(3 * count, 0.3, "float32")
    transform = SignedPerturbation(scale, seed=0)
    transform.build(start.shape)
    transform.built = True
    transform.unit.assign(1.0)
    deployed = descend(transform, start, gradients, rate, steps)[1].reshape(3, count).mean(axis=1)
    w = np.full(3, 0.3)
    for _ in range(steps):
        w = np.maximum(w - mu, 0) - rate * gradients[::count]
    error = scale * math.sqrt((1 - 2 / math.pi) * steps / count)
    np.testing.assert_allclose(deployed, w, atol=4 * error)
    assert np.all(np.diff(w) < -100 * error)


def test_the_state_replays_the_process_on_the_weight_itself(monkeypatch):
    """The same numbers, once taken off the weight in NumPy, once kept beside it: the same weights in every step."""
    rng = np.random.default_rng(0)
    start, target = rng.normal(size=(2, 300))
    target[::2] = 0  # nothing holds these
    amounts = np.abs(rng.normal(size=(60, 300)))
    waiting = iter(amounts.astype("float32"))
    monkeypatch.setitem(signed_perturbation.DISTRIBUTIONS, "half_normal", lambda shape, seed: next(waiting))
    theta = tf.Variable(start, dtype="float32")
    transform = built(SignedPerturbation(0.05), theta.numpy())
    scale, w = 0.05 * start.std(), start
    for amount in amounts:
        w = np.where(np.abs(w) > scale * amount, w - scale * amount * np.sign(w), 0)
        with tf.GradientTape() as tape:
            y = transform(theta, training=True)
            loss = tf.reduce_sum((y - target) ** 2) / 2
        np.testing.assert_allclose(y, w, atol=2e-6)
        np.testing.assert_array_equal(np.array(y) == 0, w == 0)
        gradient = tape.gradient(loss, theta)
        np.testing.assert_allclose(gradient, w - target, atol=1e-5)  # at zeros, too
        theta.assign_sub(0.05 * gradient)
        w = w - 0.05 * (w - target)
    assert 0.4 < np.mean(np.array(y) == 0) < 0.9


def test_zeros_are_zeros_at_inference_though_the_optimizer_has_moved_on():
    x = np.random.default_rng(0).normal(size=(20, 10)).astype("float32")
    transform = built(SignedPerturbation(0.5, seed=0), x)
    y = np.array(transform(x, training=True))
    moved = transform(x + 0.1, training=False)
    np.testing.assert_allclose(moved, np.where(y == 0, 0, y + 0.1), atol=1e-6)
    assert np.any(y == 0)


def test_nothing_changes_before_the_beginning_and_zeros_stick_behind_the_end():
    x = np.random.default_rng(0).normal(size=(20, 10)).astype("float32")
    transform = built(SignedPerturbation(0.5, begin_step=2, end_step=4, seed=0), x)
    values = []
    for _ in range(6):
        theta = tf.Variable(x + 0.2 * len(values))  # an optimizer that only knows one direction
        with tf.GradientTape() as tape:
            values.append(np.array(y := transform(theta, training=True)))
        slope = tape.gradient(y, theta).numpy()
        np.testing.assert_array_equal(slope, 1 if len(values) <= 4 else values[3] != 0)
    np.testing.assert_allclose(values[1], x + 0.2, atol=1e-6)
    assert np.any(values[2] != values[1] + 0.2)
    for later in values[4:]:
        np.testing.assert_array_equal(later == 0, values[3] == 0)
    np.testing.assert_allclose(values[5], np.where(values[3] == 0, 0, values[3] + 0.4), atol=1e-5)


def test_transient_changes_are_seen_by_the_gradient_alone():
    x = np.random.default_rng(0).normal(size=(20, 10)).astype("float32")
    transform, theta = built(SignedPerturbation(0.3, mode="transient", seed=0), x), tf.Variable(x)
    with tf.GradientTape() as tape:
        y = transform(theta, training=True)
        total = tf.reduce_sum(y**2) / 2
    np.testing.assert_array_equal(tape.gradient(total, theta), y)
    lost = (np.abs(x) - np.abs(y))[np.array(y) != 0]
    assert np.all(lost >= 0) and np.mean(lost) > 0.1
    np.testing.assert_array_equal(transform(x, training=False), x)
    again = np.array(transform(theta, training=True))
    assert np.mean(np.abs(again)) == pytest.approx(np.mean(np.abs(y)), rel=0.1)  # nothing adds up


def test_the_seed_decides():
    x = signs(1000)

    def losses(seed):
        transform = built(SignedPerturbation(0.05, seed=seed), x)
        return np.stack([np.array(transform(x, training=True)) for _ in range(2)])

    np.testing.assert_array_equal(losses(3), losses(3))
    assert not np.array_equal(losses(3), losses(4))
    keras.utils.set_random_seed(5)
    first, second = losses(None), losses(None)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(losses(None), first)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[0] - x, first[1] - first[0])


def test_the_random_state_is_saved(tmp_path):
    inputs = keras.Input(batch_shape=(8, 4))
    model = keras.Model(inputs, SignedPerturbation(0.1, seed=0)(inputs))
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x, training=True), model(x, training=True))


def test_the_rate_may_follow_a_schedule_and_is_saved_with_it():
    x = signs(50_000)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.02])
    transform = built(SignedPerturbation(schedule, distribution="uniform", seed=0), x)
    transform = built(SignedPerturbation.from_config(transform.get_config()), x)
    first = np.abs(transform(x, training=True))
    second = np.abs(transform(x, training=True))
    assert np.mean(1 - first) == pytest.approx(0.05, rel=0.02)
    assert np.mean(first - second) == pytest.approx(0.01, rel=0.02)


def test_scale_follows_the_first_weights():
    x = np.random.default_rng(0).normal(size=(100, 100)).astype("float32")
    lost = []
    for scale in (1.0, 1e-3):
        transform = SignedPerturbation(0.01, seed=0)
        transform.build(x.shape)
        transform.built = True
        lost.append(np.mean(np.abs(scale * x) - np.abs(transform(scale * x, training=True))) / scale)  # uncalibrated
    assert lost[0] == pytest.approx(lost[1], rel=1e-3) and lost[0] == pytest.approx(
        0.01 * math.sqrt(2 / math.pi), rel=0.05
    )


def test_what_an_earlier_transform_has_pruned_stays_zero():
    x = np.random.default_rng(0).normal(size=(20, 10)).astype("float32")
    chain = built(Chain([MagnitudePruning(0.5), SignedPerturbation(0.1, seed=0)]), x)
    for _ in range(5):
        pruned = np.array(chain.transforms[0](x, training=True)) == 0
        assert np.all(np.array(chain(x, training=True))[pruned] == 0)
        assert np.all(np.array(chain(x, training=False))[pruned] == 0)
    assert np.sum(pruned) == 100


@pytest.mark.parametrize("mode", ["persistent", "transient"])
def test_keeps_the_laws(mode):
    testing.check_transform(lambda: SignedPerturbation(0.1, end_step=1, mode=mode), (3, 3, 4, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": -1.0},
        {"begin_step": -1},
        {"begin_step": 5, "end_step": 4},
        {"distribution": "cauchy"},
        {"mode": "soft"},
    ],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be"):
        SignedPerturbation(**wrong)


def test_feature_maps_are_refused():
    with pytest.raises(ValueError, match="must be on a weight"):
        SignedPerturbation().build((None, 8))
