import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
from tfcompress import BalancedPruning, testing
from tfcompress.pruning import balanced, boxes


def built(transform, x):
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    return transform


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def uneven(rows, columns, seed=0):
    """Columns of different scales, so that the counts of one threshold differ."""
    return normal(rows, columns, seed=seed) * np.linspace(0.5, 2, columns, dtype="float32")


def kept(transform, x):
    return np.sum(np.array(transform(x, training=False)) != 0, axis=0)


def test_penalty_by_hand():
    mask = tf.constant([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    cost, variance = balanced.penalty(mask, (4, 1), multiplier=-3.0, hold=10.0, density=0.25)
    assert float(variance) == pytest.approx(0.125**2)  # shares 1/2 and 1/4
    assert float(cost) == pytest.approx(3 * 0.125**2 + 10 * (0.375 - 0.25) ** 2)


def test_soft_values_and_loss_of_the_first_step():
    x = uneven(16, 4)
    transform = built(BalancedPruning(0.5, 10), x)
    y = np.array(transform(x, training=True))
    alpha = np.quantile(np.abs(x), 0.5)
    h = 1 / (1 + np.exp(-10 * (np.abs(x) / alpha - 1))) + 1 / (1 + np.exp(10 * (np.abs(x) / alpha + 1)))
    np.testing.assert_allclose(y, x * h, rtol=1e-4, atol=1e-6)
    shares = h.mean(axis=0)
    np.testing.assert_allclose(transform.losses, [10 * (shares.mean() - 0.5) ** 2], rtol=1e-3)  # lambda is 0
    np.testing.assert_allclose(transform.multiplier, -2.5 / 0.5**2 * shares.var(), rtol=1e-4)
    np.testing.assert_allclose(transform.variance, shares.var(), rtol=1e-4)


def test_gradients_of_the_variance_reach_weights_and_width_as_finite_differences_say():
    x = uneven(16, 4).astype("float64")
    transform = built(BalancedPruning(0.5, 10, hold=0), x.astype("float32"))
    transform.multiplier.assign(-7.0)
    variable, unit = tf.Variable(x, dtype="float32"), float(transform.unit)
    with tf.GradientTape() as tape:
        transform(variable, training=True)
        (loss,) = transform.losses
    by_w, by_width = tape.gradient(loss, [variable, transform.log_width.value])

    def cost(w, log_width):
        alpha, beta = unit * np.exp(log_width), 10 / unit
        h = 1 + 1 / (1 + np.exp(-beta * (w - alpha))) - 1 / (1 + np.exp(-beta * (w + alpha)))
        return 7 * h.mean(axis=0).var()

    size = 1e-5
    expected = (cost(x, size) - cost(x, -size)) / (2 * size)
    np.testing.assert_allclose(by_width, expected, rtol=1e-3)
    assert abs(expected) > 1e-3
    for index in [(0, 0), (3, 1), (7, 2), (15, 3)]:
        step = np.zeros_like(x)
        step[index] = size
        expected = (cost(x + step, 0) - cost(x - step, 0)) / (2 * size)
        np.testing.assert_allclose(by_w[index], expected, rtol=1e-3, atol=1e-7)
    assert np.count_nonzero(np.abs(by_w) > 1e-4) > 10


def test_multiplier_falls_by_rate_times_variance_down_to_its_limit():
    x = uneven(16, 4)
    transform = built(BalancedPruning(0.5, 100, rate=3.0, limit=5.0, sharpness=(10, 10)), x)
    values = [float(transform.multiplier)]
    for _ in range(100):
        transform(x, training=True)
        values.append(float(transform.multiplier))
    variance = float(transform.variance)
    assert values[0] == 0 and values[-1] == -5 and variance > 1e-3
    np.testing.assert_allclose(np.diff(values)[:10], -3 * variance, rtol=1e-3)
    assert np.all(np.diff(values) <= 0)


def test_edges_become_sharp_by_equal_factors():
    transform = built(BalancedPruning(0.5, 100), normal(8, 4))
    sharpness = [float(transform._sharpness(tf.constant(step))) for step in (0, 50, 100, 200)]
    np.testing.assert_allclose(sharpness, [10, 10 * 5**0.5, 50, 50], rtol=1e-5)


@pytest.mark.parametrize("group", ["output_channel", 4, (8, 2)])
def test_inference_has_equal_counts_of_the_largest_at_any_time(group):
    x = uneven(32, 6)
    transform = built(BalancedPruning(0.75, 3, group=group), x)
    size = np.prod(transform.box)
    assert transform.counts(x).var() > 0 and transform.counts(x).sum() == x.size // 4
    for _ in range(6):
        y = np.array(transform(x, training=False))
        whole = tf.constant(x), tf.constant(y)
        latent, values = (np.array(boxes.to_columns(v, transform.box)) for v in whole)
        np.testing.assert_array_equal(np.sum(values != 0, axis=0), size // 4)
        smallest = np.where(values != 0, np.abs(latent), np.inf).min(axis=0)
        assert np.all(np.where(values == 0, np.abs(latent), 0).max(axis=0) <= smallest)
        assert set(np.unique(y)) <= {0.0, *np.unique(x)}
        transform(x, training=True)


def test_two_of_four_is_a_special_case():
    x = normal(3, 3, 8, 5)
    y = np.array(built(BalancedPruning(0.5, 10, group=4), x)(x))
    np.testing.assert_array_equal(np.sum(y.reshape(3, 3, 2, 4, 5) != 0, axis=3), 2)


def test_equal_magnitudes_are_projected_to_the_exact_number():
    for x in (np.zeros((8, 3), "float32"), np.full((8, 3), -2, "float32")):
        transform = built(BalancedPruning(0.5, 10), x)
        mask, _ = transform._projected(tf.constant(x))
        counts = np.sum(mask, axis=0)
        assert np.ptp(counts) == 0 and counts[0] >= 1


def test_mean_count_is_what_every_group_keeps_and_at_least_one():
    x = uneven(32, 6)
    transform = built(BalancedPruning(0.75, 10), x)
    transform.log_width.assign(0.3)
    mean = transform.counts(x).mean()
    assert mean < 7
    np.testing.assert_array_equal(kept(transform, x), round(mean))
    transform.log_width.assign(10.0)
    np.testing.assert_array_equal(kept(transform, x), 1)


def test_what_fills_no_group_is_pruned_by_the_width_alone():
    x = uneven(10, 3)
    transform = built(BalancedPruning(0.5, 10, group=4), x)
    y = np.array(transform(x))
    np.testing.assert_array_equal(np.sum(y[:8].reshape(2, 4, 3) != 0, axis=1).std(), 0)
    np.testing.assert_array_equal(y[8:], np.where(np.abs(x[8:]) >= float(transform.alpha), x[8:], 0))
    assert len(transform.counts(x)) == 6


def test_the_mask_is_frozen_with_all_that_belongs_to_it():
    x, other = uneven(16, 4), uneven(16, 4, seed=1)
    transform = built(BalancedPruning(0.5, 3), x)
    for _ in range(3):
        transform(x, training=True)
    multiplier, hard = float(transform.multiplier), transform.counts(x).var() / 16**2
    mask = np.array(transform(x, training=False)) != 0
    variable = tf.Variable(x)
    for _ in range(2):
        with tf.GradientTape() as tape:
            y = transform(variable, training=True)
            total = tf.reduce_sum(y)
        np.testing.assert_array_equal(y, x * mask)
        np.testing.assert_array_equal(tape.gradient(total, variable), mask)
    np.testing.assert_array_equal(transform(other, training=False), other * mask)
    np.testing.assert_array_equal(transform(other, training=True), other * mask)
    assert float(transform.multiplier) == multiplier and float(transform.losses[-1]) == 0
    np.testing.assert_allclose(transform.variance, hard, rtol=1e-4)
    assert hard > 0


def test_groups_of_depthwise_kernels_go_across_the_channels():
    inputs = keras.Input((8, 8, 12))
    model = keras.Model(inputs, layers.SeparableConv2D(10, 3, name="both")(inputs))
    small = tfc.compress(model, {"both": {"kernel": BalancedPruning(0.5, 10)}})
    transforms = small.get_layer("both").transforms
    assert transforms["depthwise_kernel"].box == (1, 1, 12, 1)
    assert transforms["pointwise_kernel"].box == (1, 1, 12, 1)
    deployed, _ = tfc.deployed(small.get_layer("both"), "depthwise_kernel")
    np.testing.assert_array_equal(np.sum(deployed != 0, axis=2), 6)


def test_groups_that_are_too_small_for_the_sparsity_give_a_warning():
    with pytest.warns(
        UserWarning, match="a group of 4 weights keeps at least one.*at most 75% zeros and not 90%.*10 or"
    ):
        built(BalancedPruning(0.9, 10, group=4), normal(8, 4))
    built(BalancedPruning(0.75, 10, group=4), normal(8, 4))


def test_a_weight_that_is_one_group_gives_a_warning():
    with pytest.warns(UserWarning, match="one group of 8, with no other"):
        built(BalancedPruning(0.5, 10), normal(8, 1))


def test_output_channels_of_an_lstm_are_columns_of_its_kernels():
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, layers.LSTM(5, name="lstm")(inputs))
    small = tfc.compress(model, {"lstm": {"kernel": BalancedPruning(0.5, 10)}})
    boxes_of = {slot: t.box for slot, t in small.get_layer("lstm").transforms.items()}
    assert boxes_of == {"cell.kernel": (6, 1), "cell.recurrent_kernel": (5, 1)}


def test_uncalibrated_delivers_nothing_but_nan_where_it_prunes():
    transform = BalancedPruning(0.5, 10)
    transform.build((8, 4))
    transform.built = True
    assert np.isnan(transform(normal(8, 4))).any()
    transform(normal(8, 4), training=True)
    np.testing.assert_array_equal(kept(transform, normal(8, 4)), 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sparsity": 0.0},
        {"sparsity": 1.0},
        {"freeze_step": 0},
        {"rate": -1.0},
        {"limit": -1.0},
        {"hold": -1.0},
        {"sharpness": (0.0, 1.0)},
        {"sharpness": (1.0,)},
        {"group": "row"},
    ],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
        BalancedPruning(**{"sparsity": 0.5, "freeze_step": 10, **wrong})


def test_feature_maps_are_refused():
    with pytest.raises(ValueError, match="must be on a weight"):
        BalancedPruning(0.5, 10).build((None, 8))


def test_keeps_the_laws():
    testing.check_transform(lambda: BalancedPruning(0.5, 3, group=(2, 4)), (3, 3, 5, 8))


EPOCHS = 8
GROUPS = {"conv": "output_channel", "dense": 8, "wide": (8, 4)}
"""The kinds of groups, each on one of the layers."""


@functools.cache
def digits():
    pixels, labels = load_digits(return_X_y=True)
    return (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32"), labels


@functools.cache
def searched(rate):
    """A network behind all training but the freeze, and what pruning without and with projection leaves of it."""
    images, labels = digits()
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="conv")(x)
    x = layers.Dense(64, activation="relu", name="wide")(layers.Flatten()(x))
    x = layers.Dense(64, activation="relu", name="dense")(x)
    model = keras.Model(inputs, layers.Dense(10, name="head")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(images, labels, epochs=4, verbose=0)
    steps = EPOCHS * -(-len(images) // 64)
    rules = {n: {"kernel": BalancedPruning(0.75, steps, group=group, rate=rate)} for n, group in GROUPS.items()}
    small = tfc.compress(model, rules)
    small.compile(keras.optimizers.Adam(1e-3), loss)
    small.fit(images, labels, batch_size=64, epochs=EPOCHS, verbose=0)
    plain = tfc.strip(small)
    plain.compile(loss=loss, metrics=["accuracy"])
    projected = plain.evaluate(images, labels, verbose=0)[1]
    for name in GROUPS:
        layer = small.get_layer(name)
        w = layer.layer.kernel.numpy()
        plain.get_layer(name).kernel.assign(np.where(np.abs(w) >= float(layer.transforms["kernel"].alpha), w, 0))
    return small, plain.evaluate(images, labels, verbose=0)[1], projected


def shares(rate, name):
    layer = searched(rate)[0].get_layer(name)
    transform = layer.transforms["kernel"]
    return transform.counts(layer.layer.kernel.numpy()) / np.prod(transform.box)


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_variance_before_projection_is_a_tenth_of_the_control_at_the_same_sparsity(name):
    control, found = shares(0.0, name), shares(None, name)
    assert found.var() < control.var() / 10
    assert abs(found.mean() - control.mean()) < 0.01 and abs(found.mean() - 0.25) < 0.01


@pytest.mark.slow
def test_the_slowest_of_parallel_units_waits_for_none():
    """One unit computes one output channel: the largest count over the mean one, before projection and after."""
    control, found = shares(0.0, "conv"), shares(None, "conv")
    assert control.max() / control.mean() > 1.15 and found.max() / found.mean() < 1.05
    deployed, _ = tfc.deployed(searched(None)[0].get_layer("conv"), "kernel")
    counts = np.sum(deployed != 0, axis=(0, 1, 2))
    assert counts.max() / counts.mean() == 1


@pytest.mark.slow
def test_projection_costs_nothing_where_the_control_loses():
    _, raw_control, control = searched(0.0)
    _, raw, projected = searched(None)
    assert raw_control - control > 0.006 and raw - projected < 0.003


@pytest.mark.slow
def test_multipliers_fall_and_widths_move():
    for name in GROUPS:
        transform = searched(None)[0].get_layer(name).transforms["kernel"]
        assert float(transform.multiplier) < -0.5 and float(transform.log_width) != 0
        assert float(searched(0.0)[0].get_layer(name).transforms["kernel"].multiplier) == 0
