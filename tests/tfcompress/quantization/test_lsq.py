import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcompress import LSQ, testing


def built(transform, shape):
    transform.build(shape)
    transform.built = True
    return transform


def calibrated(transform, x):
    built(transform, x.shape).calibrate(x)
    return transform


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_values_and_step_gradient_match_the_paper():
    transform = built(LSQ(bits=3, axis=-1, narrow_range=True), (2, 2))
    transform.unit.assign([[0.5, 0.5]])
    with tf.GradientTape() as tape:
        y = transform(tf.constant([[0.3, -2.2], [9.0, 0.1]]), training=True)
        total = tf.reduce_sum(y)
    np.testing.assert_array_equal(y, [[0.5, -1.5], [1.5, 0.0]])
    # code - x / s inside the range, the last code outside, times 1 / sqrt(N q) = 1 / sqrt(6), over the unit
    expected = np.array([[0.4 + 3, -3 - 0.2]]) / 6**0.5 / 0.5
    np.testing.assert_allclose(tape.gradient(total, transform.ratio), expected, rtol=1e-6)


def test_gradient_descent_moves_the_step_as_the_paper_does():
    x, rate = normal(64, 4), 0.01
    transform = calibrated(LSQ(bits=4, narrow_range=True), x)
    step = tf.Variable(transform.step)
    with tf.GradientTape() as tape:
        codes = tf.clip_by_value(x / step, -7, 7)
        y = (codes + tf.stop_gradient(tf.round(codes) - codes)) * step
        total = tf.reduce_sum(y**2)
    expected = step - rate * tape.gradient(total, step) / np.sqrt(x.size * 7)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(transform(tf.constant(x), training=True) ** 2)
    keras.optimizers.SGD(rate).apply(tape.gradient(total, [transform.ratio.value]), [transform.ratio])
    np.testing.assert_allclose(transform.step, expected, rtol=1e-4)


def test_one_element_is_kept():
    x = np.float32([[0.37]])
    np.testing.assert_allclose(calibrated(LSQ(bits=4), x)(x), x, rtol=1e-6)


def test_a_constant_tensor_is_kept():
    x = np.full((4, 5), -0.3, "float32")
    np.testing.assert_allclose(calibrated(LSQ(bits=8), x)(x), x, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "low", "high"),
    [
        ({"bits": 4}, -8, 7),
        ({"bits": 4, "narrow_range": True}, -7, 7),
        ({"bits": 4, "signed": False}, 0, 15),
        ({"bits": 2, "narrow_range": True}, -1, 1),
        ({"bits": 16}, -(2**15), 2**15 - 1),
    ],
)
def test_codes_reach_both_ends_of_the_grid_and_no_further(arguments, low, high):
    x = np.linspace(-1, 1, 1001).astype("float32").reshape(1, -1)
    transform = calibrated(LSQ(**arguments), x)
    codes = transform.grid(x).encode(np.array(transform(1e6 * x)))
    assert (codes.min(), codes.max()) == (low, high)


@pytest.mark.parametrize("power_of_two", [False, True])
def test_the_first_training_batch_sets_the_step_and_later_ones_do_not(power_of_two):
    x = normal(16, 4)
    called = built(LSQ(bits=5, power_of_two=power_of_two), x.shape)
    called(x, training=True)
    reference = calibrated(LSQ(bits=5, power_of_two=power_of_two), x)
    np.testing.assert_array_equal(called.step, reference.step)
    called(100 * x, training=True)
    np.testing.assert_array_equal(called.step, reference.step)


def test_an_uncalibrated_transform_is_loud():
    transform = built(LSQ(bits=4, name="relu_output"), (2, 2))
    assert np.isnan(transform(np.ones((2, 2), "float32"))).all()
    with pytest.raises(ValueError, match=r"'relu_output' must be calibrated.*tfcompress\.calibrate"):
        transform.grid(np.ones((2, 2)))


def test_calibrating_again_starts_afresh():
    x = normal(16, 4)
    transform = calibrated(LSQ(), x)
    transform.ratio.assign([[2.0]])
    transform.calibrate(x)
    np.testing.assert_array_equal(transform.step, calibrated(LSQ(), x).step)


@pytest.mark.parametrize("bits", [1, 17, 4.5])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(ValueError, match=f"`bits` must be a whole number from 2 to 16. Received: bits={bits}"):
        LSQ(bits=bits)


def test_an_axis_without_a_size_is_refused():
    with pytest.raises(ValueError, match="'mine'.*axis"):
        LSQ(axis=0, name="mine").build((None, 4))


@pytest.mark.parametrize("arguments", [{"bits": 16}, {"bits": 12, "power_of_two": True}, {"bits": 3, "axis": (0, 1)}])
def test_unusual_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: LSQ(**arguments), (4, 5, 3))
