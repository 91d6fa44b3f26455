import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcompress import LSQ, Chain, LearnedThreshold, callbacks, compress, testing
from tfcompress.pruning.learned_threshold import PACE, learned_threshold
from tfcompress.schedules import Ramp

PRICES = (3e-7, 3e-6, 3e-5, 3e-4)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(transform, x, ratio=0.0):
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    transform.ratio.assign(ratio)
    return transform


def sigmoid(z):
    return 1 / (1 + np.exp(-np.float64(z)))


def differentiated(w, tau, temperature, upstream, price):
    w, tau = tf.Variable(w), tf.Variable(tau)
    with tf.GradientTape() as tape:
        y, kept = learned_threshold(w, tau, tf.constant(temperature))
        total = tf.reduce_sum(y * upstream) + price * kept
    return np.array(y), float(kept), *(np.array(g) for g in tape.gradient(total, [w, tau]))


def test_values_and_gradients_by_hand():
    w, upstream = np.float32([[1.0, -2.0], [0.0, 3.0]]), np.float32([[1.0, 2.0], [3.0, -1.0]])
    y, kept, by_w, by_tau = differentiated(w, 1.0, 2.0, upstream, 0.5)
    gate = sigmoid([[0.0, 1.5], [-0.5, 4.0]])
    np.testing.assert_allclose(y, w * gate, rtol=1e-6)
    assert kept == pytest.approx(gate.sum(), rel=1e-6)
    np.testing.assert_allclose(by_w, upstream * gate, rtol=1e-6)
    slopes = gate * (1 - gate) / 2
    assert by_tau == pytest.approx(-sum(np.ravel(slopes) * [1 + 0.5, -4 + 0.5, 0 + 0.5, -3 + 0.5]), rel=1e-5)


def test_to_a_weight_the_gate_is_a_constant():
    """No term ``w * gate'``, neither from the product nor from the price."""
    w, upstream = normal(40, 30), normal(40, 30, seed=1)
    with_price, without = (differentiated(w, 0.8, 0.3, upstream, price)[2] for price in (7.0, 0.0))
    np.testing.assert_array_equal(with_price, without)
    np.testing.assert_allclose(without, upstream * sigmoid((w * w - 0.8) / 0.3), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("price", [0.0, 0.4])
def test_the_threshold_has_the_slope_of_finite_differences(price):
    w, upstream = normal(40, 30), normal(40, 30, seed=1)

    def total(tau):
        gate = sigmoid((np.float64(w) ** 2 - tau) / 0.3)
        return np.sum(w * gate * upstream) + price * np.sum(gate)

    slope = (total(0.8 + 1e-5) - total(0.8 - 1e-5)) / 2e-5
    assert differentiated(w, 0.8, 0.3, upstream, price)[3] == pytest.approx(slope, rel=1e-4)


def test_gradient_descent_on_the_ratio_is_that_on_tau_with_the_unit_squared():
    x, upstream = 0.05 * normal(40, 30), normal(40, 30, seed=1)
    transform = built(LearnedThreshold(penalty=0.0), x, ratio=0.01)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(transform(x, training=True) * upstream)
    tau, unit = float(transform.tau), float(transform.unit)
    by_tau = differentiated(x, tau, float(transform.width), upstream, 0.0)[3]
    keras.optimizers.SGD(1e-5).apply([tape.gradient(total, transform.ratio.value)], [transform.ratio])
    assert float(transform.tau) - tau == pytest.approx(-1e-5 * unit**2 * by_tau, rel=1e-3)


def test_the_unit_keeps_up_with_the_squares_of_weights():
    for scale in (1e-3, 1.0, 50.0):
        x = scale * normal(100, 100)
        transform = built(LearnedThreshold(), x)
        assert float(transform.unit) == pytest.approx(PACE * scale, rel=0.02)
        assert float(transform.width) == pytest.approx(0.1 * np.var(np.abs(x)), rel=1e-3)


def test_the_width_is_that_of_the_first_weights():
    x = normal(30, 20)
    transform = LearnedThreshold()
    transform.build(x.shape)
    transform.built = True
    assert np.isnan(transform(x, training=False)).all()
    transform(x, training=True)
    transform(5 * x, training=True)
    assert float(transform.width) == pytest.approx(0.1 * np.var(np.abs(x)), rel=1e-4)
    np.testing.assert_array_equal(transform(x, training=False), x)


def test_inference_is_hard_and_training_is_soft():
    x = normal(30, 20)
    transform = built(LearnedThreshold(), x, ratio=0.2)
    tau = float(transform.tau)
    hard, soft = np.array(transform(x)), np.array(transform(x, training=True))
    np.testing.assert_array_equal(hard, np.where(x * x > tau, x, 0))
    assert 0.5 < np.mean(hard == 0) < 0.8 and np.all(soft != 0)


def test_the_price_is_a_plain_sum_times_penalty_and_preference():
    x = normal(30, 20)
    transform = built(LearnedThreshold(0.01, preference=3.0), x, ratio=0.1)
    transform(x, training=True)
    gates = sigmoid((np.float64(x) ** 2 - float(transform.tau)) / float(transform.width))
    assert float(transform.losses[0]) == pytest.approx(0.03 * gates.sum(), rel=1e-5)


def dense(transform, rate=0.05, epochs=1, used=(), first=0, model=None):
    """A dense layer under strong pressure, on random data."""
    if model is None:
        keras.utils.set_random_seed(0)
        model = compress(
            keras.Sequential([keras.Input((20,)), keras.layers.Dense(10, name="it")]), {"it": {"kernel": transform}}
        )
        model.compile(keras.optimizers.Adam(rate), "mse")
    x = normal(64, 20)
    model.fit(x, x[:, :10], batch_size=8, epochs=epochs, initial_epoch=first, verbose=0, callbacks=list(used))
    return model, model.layers[0].transforms["kernel"]


def test_the_threshold_never_goes_below_zero():
    _, transform = dense(LearnedThreshold(penalty=0.0), rate=0.5, epochs=3)
    assert float(transform.ratio) >= 0


def test_the_temperature_may_be_annealed():
    _, transform = dense(LearnedThreshold(), used=[callbacks.Anneal("temperature", Ramp(0, 4, 0.01, 0.1))])
    assert float(transform.temperature) == pytest.approx(0.01)
    assert float(transform.width) == pytest.approx(0.01 * float(transform.spread))


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}])
def test_a_frozen_mask_stays_while_the_weights_that_are_left_are_trained(options):
    model, transform = dense(LearnedThreshold(0.01, freeze_step=8), rate=0.005)
    model.compile(keras.optimizers.SGD(0.05), "mse", **options)  # without the momentum of Adam
    dense(None, model=model)  # the first of its steps freezes
    mask, zeros = np.array(transform.mask), np.array(model.layers[0].effective("kernel")) == 0
    assert bool(transform.frozen) and 0.1 < np.mean(zeros) < 0.9
    before, ratio = np.array(model.layers[0].layer.kernel), float(transform.ratio)
    dense(None, model=model, epochs=2)
    after = np.array(model.layers[0].layer.kernel)
    np.testing.assert_array_equal(np.array(transform.mask), mask)
    np.testing.assert_array_equal(np.array(model.layers[0].effective("kernel")), np.where(mask, after, 0))
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert np.all(after[mask] != before[mask]) and float(transform.ratio) == ratio


def test_a_frozen_weight_is_what_is_trained_and_costs_nothing():
    x = normal(30, 20)
    transform = built(LearnedThreshold(0.01, freeze_step=1), x, ratio=0.1)
    assert not np.array_equal(transform(x, training=True), transform(x))
    y = np.array(transform(x, training=True))
    np.testing.assert_array_equal(y, np.where(x * x > float(transform.tau), x, 0))
    assert float(transform.losses[0]) == 0
    np.testing.assert_array_equal(transform(-3 * x, training=False) != 0, y != 0)


def test_the_share_near_the_threshold_is_counted():
    x = np.float32([[0.0, 1.0], [1.1, 4.0]])
    transform = built(LearnedThreshold(), x)
    transform.ratio.assign(1.0 / float(transform.unit))
    width = float(transform.width)
    near = np.abs(x * x - float(transform.tau)) < 4 * width
    assert float(transform.transition(x)) == near.mean() and 0 < near.mean() < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": -1e-3}, "`penalty`"),
        ({"preference": -1.0}, "`preference`"),
        ({"temperature": 0.0}, "`temperature`"),
        ({"freeze_step": -1}, "`freeze_step`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        LearnedThreshold(**arguments)


def test_feature_maps_are_refused():
    with pytest.raises(ValueError, match=r"LearnedThreshold 'mine' must be on a weight.*Received: "):
        LearnedThreshold(name="mine").build((None, 4))


@pytest.mark.parametrize("arguments", [{"penalty": 0.1}, {"penalty": 0.1, "preference": 2.0, "freeze_step": 3}])
def test_the_laws_are_kept(arguments):
    testing.check_transform(lambda: LearnedThreshold(**arguments), (9, 5))


def test_a_chain_keeps_the_zeros():
    testing.check_transform(lambda: Chain([LearnedThreshold(0.1), LSQ(4)]), (9, 5))


@pytest.fixture(scope="module")
def runs(digits):
    """By price: the digits network, pruned."""
    return {price: digits.pruned(LearnedThreshold(price)) for price in (0.0, *PRICES)}


@pytest.mark.slow
def test_without_a_price_next_to_nothing_is_pruned(runs):
    assert runs[0.0].sparsity < 0.15


@pytest.mark.slow
def test_a_higher_price_makes_more_zeros(runs):
    found = [runs[price].sparsity for price in PRICES]
    assert all(more > less + 0.03 for less, more in itertools.pairwise(found)), found
    assert found[0] < 0.6 and found[-1] > 0.85, found


@pytest.mark.slow
def test_a_pruned_network_with_batch_norms_is_as_good_as_before(runs, digits):
    assert runs[3e-5].sparsity > 0.7
    assert runs[3e-5].accuracy > digits.accuracy - 0.005, runs[3e-5].accuracy


@pytest.mark.slow
def test_each_layer_learns_its_own_threshold(runs):
    thresholds = [float(t.tau / (t.unit / PACE) ** 2) for t in runs[3e-5].transforms.values()]
    assert min(thresholds) > 0.05 and max(thresholds) > 2 * min(thresholds), thresholds


@pytest.mark.slow
def test_soft_and_hard_accuracy_agree(runs, digits):
    for price in PRICES[1:]:
        assert abs(digits.soft_accuracy(runs[price]) - runs[price].accuracy) < 0.005


@pytest.mark.slow
def test_a_preference_moves_zeros_from_one_layer_to_another(runs, digits):
    keras.utils.set_random_seed(1)
    small = compress(
        digits.network,
        {".*": {"kernel": LearnedThreshold(3e-5)}, "conv_1": {"kernel": LearnedThreshold(3e-5, preference=0.01)}},
    )
    digits.fit(small, 10)
    zeros = float(np.mean(np.array(small.get_layer("conv_1").effective("kernel")) == 0))
    assert zeros < runs[3e-5].layers["conv_1"] - 0.2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*triggered tf.function retracing")
def test_with_batch_norms_a_fixed_threshold_behind_an_l1_penalty_does_worse_at_the_same_zeros(runs, digits):
    learned, found = runs[3e-4], {}
    assert learned.sparsity > 0.8
    for price in (1e-3, 4e-3, 1e-2):
        keras.utils.set_random_seed(1)
        model = keras.models.clone_model(digits.network)
        model.set_weights(digits.network.get_weights())
        kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
        for kernel in kernels:
            kernel.regularizer = keras.regularizers.L1(price)
        digits.fit(model, 10)
        sizes = np.concatenate([np.abs(np.ravel(kernel)) for kernel in kernels])
        for kernel in kernels:
            kernel.assign(kernel * (abs(kernel) > np.quantile(sizes, learned.sparsity)))
        found[price] = digits.evaluate(model)
    assert learned.accuracy > max(found.values()) + 0.01, found
