import numpy as np
import pytest
import tensorflow as tf

from tfcompress import ConstantSparsity, MagnitudePruning, PolynomialDecay, testing
from tfcompress.pruning import magnitude


def built(transform, shape):
    transform.build(shape)
    transform.built = True
    return transform


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def train(transform, x, steps):
    for _ in range(steps):
        y = transform(x, training=True)
    return np.array(y)


def test_values_and_gradient_by_hand():
    x = tf.Variable([[0.3, -2.0], [0.1, 0.5]])
    transform = built(MagnitudePruning(0.5), (2, 2))
    with tf.GradientTape() as tape:
        y = transform(x, training=True)
        total = tf.reduce_sum(y * [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(y, [[0, -2], [0, 0.5]])
    np.testing.assert_array_equal(tape.gradient(total, x), [[0, 2], [0, 4]])


def test_all_zeros_and_a_constant_are_pruned_to_the_exact_number():
    for x in (np.zeros((4, 5), "float32"), np.full((4, 5), -3, "float32")):
        transform = built(MagnitudePruning(0.75), x.shape)
        transform(x, training=True)
        assert np.sum(transform.mask) == 5 and np.all(np.ravel(transform.mask)[:5])


def test_one_element_always_stays():
    x = np.float32([0.1])
    np.testing.assert_array_equal(built(MagnitudePruning(0.99), (1,))(x, training=True), x)


@pytest.mark.parametrize(("m", "n", "channels"), [(2, 4, 8), (2, 4, 10), (1, 2, 5), (5, 8, 16), (2, 4, 3)])
def test_m_of_every_n_input_channels_are_zero(m, n, channels):
    x = normal(3, 2, channels, 5)
    y = np.array(built(MagnitudePruning(sparsity_m_by_n=(m, n)), x.shape)(x, training=True))
    for start in range(0, channels, n):
        group, latent = y[:, :, start : start + n], np.abs(x[:, :, start : start + n])
        stay = min(n - m, group.shape[2])
        np.testing.assert_array_equal(np.sum(group != 0, axis=2), stay)
        smallest_kept = np.where(group != 0, latent, np.inf).min(axis=2)
        assert np.all(np.where(group == 0, latent, 0).max(axis=2) <= smallest_kept)


def test_equal_neighbours_keep_the_first():
    transform = built(MagnitudePruning(sparsity_m_by_n=(2, 4)), (4, 1))
    np.testing.assert_array_equal(transform(np.ones((4, 1), "float32"), training=True), [[1], [1], [0], [0]])


def test_input_channels_are_the_last_axis_that_is_not_of_the_output():
    x = normal(3, 3, 5, 8)  # a Conv2DTranspose kernel: output channels in front of input channels
    transform = built(MagnitudePruning(sparsity_m_by_n=(2, 4), axis=(-2,)), x.shape)
    y = np.array(transform(x, training=True)).reshape(3, 3, 5, 2, 4)
    np.testing.assert_array_equal(np.sum(y == 0, axis=-1), 2)


@pytest.mark.parametrize("pooling", ["AVG", "MAX"])
def test_blocks_live_and_die_as_one(pooling):
    x = normal(2, 6, 8)
    transform = built(MagnitudePruning(0.5, block_size=(3, 4), block_pooling_type=pooling), x.shape)
    y = np.array(transform(x, training=True)).reshape(2, 2, 3, 2, 4)
    zeros = np.sum(y == 0, axis=(2, 4))
    assert set(np.unique(zeros)) == {0, 12} and np.sum(zeros == 12) == 4
    pool = np.mean if pooling == "AVG" else np.max
    judged = pool(np.abs(x).reshape(2, 2, 3, 2, 4), axis=(2, 4))
    assert judged[zeros == 12].max() < judged[zeros == 0].min()


def test_blocks_at_the_end_may_be_cut_off_and_are_judged_by_what_they_have():
    scores = np.float32([[1, 1, 5], [1, 1, 5], [4, 4, 9]])
    np.testing.assert_array_equal(magnitude.pooled(tf.constant(scores), (2, 2), "AVG"), [[1, 5], [4, 9]])
    np.testing.assert_array_equal(magnitude.pooled(tf.constant(scores), (2, 2), "MAX"), [[1, 5], [4, 9]])
    chosen = magnitude.spread(tf.constant([[True, False], [False, True]]), (2, 2), (3, 3))
    np.testing.assert_array_equal(chosen, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_zeros_follow_the_schedule():
    x = normal(10, 10)
    transform = built(MagnitudePruning(PolynomialDecay(0.2, 0.8, 2, 9, power=1, frequency=3)), x.shape)
    counts = [int(np.sum(train(transform, x, 1) == 0)) for _ in range(12)]
    at = {2: 20, 5: round(20 + 60 * 3 / 7), 8: round(20 + 60 * 6 / 7), 9: 80}
    assert counts == [max((v for step, v in at.items() if step <= k), default=0) for k in range(12)]


def test_the_frequency_of_the_transform_takes_the_place_of_the_schedule():
    x = normal(10, 10)
    transform = built(MagnitudePruning(PolynomialDecay(0.0, 0.5, 0, 100, frequency=50), frequency=1), x.shape)
    counts = [int(np.sum(train(transform, x, 1) == 0)) for _ in range(20)]
    assert counts == sorted(counts) and len(set(counts)) > 10


def test_the_mask_is_held_between_updates_and_at_inference():
    x = normal(8, 8)
    transform = built(MagnitudePruning(ConstantSparsity(0.5, frequency=4)), x.shape)
    mask = train(transform, x, 1) != 0
    other = normal(8, 8, seed=1)
    np.testing.assert_array_equal(train(transform, other, 3) != 0, mask)
    np.testing.assert_array_equal(np.array(transform(other)) != 0, mask)
    assert not np.array_equal(train(transform, other, 1) != 0, mask)


def test_a_pruned_weight_comes_back_when_it_has_grown():
    x = np.float32([1.0, 2.0, 3.0, 4.0])
    transform = built(MagnitudePruning(ConstantSparsity(0.5, frequency=1)), x.shape)
    np.testing.assert_array_equal(train(transform, x, 1) != 0, [0, 0, 1, 1])
    np.testing.assert_array_equal(train(transform, x[::-1].copy(), 1) != 0, [1, 1, 0, 0])


def test_calibration_prunes_only_what_the_schedule_has_for_step_zero():
    x = normal(10, 10)
    for begin, zeros in ((0, 50), (3, 0)):
        transform = built(MagnitudePruning(ConstantSparsity(0.5, begin_step=begin)), x.shape)
        transform.calibrate(x)
        assert np.sum(np.array(transform(x)) == 0) == zeros
        assert int(transform.step) == 0


def test_update_makes_the_mask_anew_once_pruning_has_begun():
    x, other = normal(10, 10), normal(10, 10, seed=1)
    transform = built(MagnitudePruning(ConstantSparsity(0.5, begin_step=2)), x.shape)
    transform.update(x)
    assert np.all(transform.mask)
    train(transform, x, 3)
    transform.update(other)
    smallest = np.argsort(np.abs(other), axis=None)[:50]
    np.testing.assert_array_equal(np.flatnonzero(~np.array(transform.mask)), np.sort(smallest))


def test_masks_are_those_of_tfmot():
    pruning = pytest.importorskip("tensorflow_model_optimization.python.core.sparsity.keras.pruning_utils")
    x = normal(3, 3, 10, 6)
    theirs = pruning.m_by_n_sparsity_mask_prepare(
        pruning.generate_m_by_n_mask(pruning.weights_rearrange(tf.constant(x)), (2, 4)), tf.TensorShape(x.shape)
    )
    ours = magnitude.largest_of_each(tf.abs(x), 2, 4, axis=2)
    np.testing.assert_array_equal(ours, np.array(theirs) != 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block_size": (0, 1)}, "`block_size`"),
        ({"block_size": (2,)}, "`block_size`"),
        ({"block_pooling_type": "SUM"}, "`block_pooling_type`"),
        ({"frequency": 0}, "`frequency`"),
        ({"sparsity_m_by_n": (4, 4)}, "`sparsity_m_by_n`"),
        ({"sparsity_m_by_n": (2, 4), "block_size": (2, 2)}, "Either `block_size` or `sparsity_m_by_n`"),
        ({"schedule": 1.0}, "`target_sparsity`"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        MagnitudePruning(**arguments)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({}, (None, 4), "must be on a weight"),
        ({"block_size": (2, 2)}, (4,), "blocks need"),
        ({"sparsity_m_by_n": (2, 4)}, (3, 3, 2, 8), r"2 zeros in 4 neighbours.*\(3, 3, 2, 8\) with 2 of them"),
        ({"sparsity_m_by_n": (2, 4)}, (8,), "more than 2 input channels"),
    ],
)
def test_weights_that_cannot_be_pruned_so_are_refused(arguments, shape, message):
    with pytest.raises(ValueError, match=f"'mine'.*{message}"):
        MagnitudePruning(name="mine", **arguments).build(shape)


def test_numbers_are_constant_schedules():
    schedule = MagnitudePruning(0.25).schedule
    assert isinstance(schedule, ConstantSparsity) and schedule.target_sparsity == 0.25


@pytest.mark.parametrize(
    "arguments",
    [{"schedule": PolynomialDecay(0.1, 0.6, 0, 4, frequency=2), "block_size": (2, 3)}, {"sparsity_m_by_n": (1, 4)}],
)
def test_unusual_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: MagnitudePruning(**arguments), (4, 5, 3) if "schedule" in arguments else (9, 3))
