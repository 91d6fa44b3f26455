import numpy as np
import pytest
import tensorflow as tf

from tfcompress import BayesianBits
from tfcompress.quantization import bayesian_bits as technique
from tfcompress.quantization.bayesian_bits import OPEN, SPEED, chance, gate, nested


def weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def calibrated(x, **arguments):
    transform = BayesianBits(**{"seed": 0, "narrow_range": True, **arguments})
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    return transform


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_open_gates_up_to_a_width_are_the_uniform_quantiser_of_that_width(bits, signed):
    """In 200,000 samples, some of them out of range, not one code differs, but for ties, which the last bit breaks."""
    high, step = (2 ** (bits - 1) - 1, 2 / (2**bits - 1)) if signed else (2**bits - 1, 1 / (2**bits - 1))
    x = np.random.default_rng(bits).uniform(-1.3, 1.3, size=201_000).astype("float32")
    x = x[np.abs(x / step - np.floor(x / step) - 0.5) > 1e-4][:200_000]
    gates = [float(b <= bits) for b in (2, 4, 8)]
    y = nested(tf.constant(x), tf.ones(1), gates, (2, 4, 8), signed).numpy()
    clipped = np.clip(x, -technique.INSIDE * signed, technique.INSIDE)
    expected = np.clip(np.rint(clipped / np.float32(step)), -high, high)
    assert len(x) == 200_000
    assert np.sum(np.rint(y / step) != expected) == 0
    np.testing.assert_allclose(y, expected * step, atol=1e-6)


def test_values_by_hand():
    """r = 1: steps 2/3, 2/15, 2/255. 0.5 -> 2/3 -> 2/3 - 2/15 -> 0.5 to the nearest 2/255."""
    x = tf.constant([0.5])
    for gates, expected in (([1, 0, 0], 2 / 3), ([1, 1, 0], 8 / 15), ([1, 1, 1], 64 * 2 / 255), ([0, 1, 1], 0)):
        np.testing.assert_allclose(nested(x, tf.ones(1), gates, (2, 4, 8)), [expected], rtol=1e-6)
    soft = nested(x, tf.ones(1), [0.5, 0.25, 0.0], (2, 4, 8))
    np.testing.assert_allclose(soft, [0.5 * (2 / 3 + 0.25 * (8 / 15 - 2 / 3))], rtol=1e-6)


def test_gates_are_zero_and_one_as_often_as_the_distribution_says():
    u = np.random.default_rng(0).uniform(size=100_000).astype("float32")
    for phi in (-2.0, 0.0, 1.5):
        z = gate(tf.constant(phi), tf.constant(u)).numpy()
        assert np.mean(z > 0) == pytest.approx(float(chance(tf.constant(phi))), abs=0.01)
        assert z.min() >= 0 and z.max() <= 1 and (z == 1).any() and (z == 0).any()
    assert float(1 - chance(tf.constant(np.float32(OPEN)))) == pytest.approx(0.34, abs=1e-5)


def test_inference_opens_gates_one_behind_the_other():
    x = weights(32, 4)
    transform = calibrated(x, axis=-1)
    for phi, bits in (((3, 3), 8), ((3, -3), 4), ((-3, 3), 2), ((-3, -3), 2)):
        transform.phi.assign(np.float32(phi) / SPEED)
        grid = transform.grid(x)
        codes = grid.encode(np.array(transform(x)))
        assert transform.width == grid.bits == bits and codes.max() == grid.high == -codes.min()


def test_channels_that_are_pruned_are_zero_and_one_stays():
    x = weights(32, 4)
    transform = calibrated(x, axis=-1)
    transform.channel_phi.assign(np.float32([[5, -5, 5, -5]]) / SPEED)
    y = np.array(transform(x))
    np.testing.assert_array_equal((y == 0).all(axis=0), [False, True, False, True])
    transform.channel_phi.assign(np.float32([[-6, -5, -7, -8]]) / SPEED)
    np.testing.assert_array_equal((np.array(transform(x)) == 0).all(axis=0), [True, False, True, True])


def test_fixed_gates_train_as_what_is_deployed_and_cost_nothing():
    x = weights(64, 4)
    transform = calibrated(x, axis=-1, price=1.0, channel_price=0.5)
    transform(x, training=True)
    expected = float(transform.soft_bits + 0.5 * 4 * chance(tf.constant(4.0)))
    assert float(transform.losses[0]) == pytest.approx(expected, rel=1e-5)
    transform.fixed.assign(4)
    transform.open.assign([[1, 0, 1, 1]])
    y = np.array(transform(x, training=True))
    np.testing.assert_allclose(y, transform(x, training=False), atol=1e-6)
    assert (y[:, 1] == 0).all() and transform.width == 4 and not np.any(transform.losses)


def test_mean_width_and_its_gradient():
    transform = calibrated(weights(8, 4), axis=-1)
    transform.phi.assign(np.float32([0.5, -1.0]) / SPEED)
    first, second = (float(chance(tf.constant(phi))) for phi in (0.5, -1.0))
    with tf.GradientTape() as tape:
        bits = transform.soft_bits
    assert float(bits) == pytest.approx(2 + 2 * first + 4 * first * second, rel=1e-5)
    slopes = np.array(tape.gradient(bits, transform.phi)) * SPEED
    expected = [first * (1 - first) * (2 + 4 * second), 4 * first * second * (1 - second)]
    np.testing.assert_allclose(slopes, expected, rtol=1e-4)


def test_every_learned_number_gets_the_slope_of_finite_differences():
    """At fixed random numbers, and gates that are not clipped; ``round`` straight through makes the range's own."""
    phi, u = tf.Variable([0.1, -0.2]), tf.constant([0.4, 0.7])
    x = tf.constant(weights(50))

    def value(phi):
        return tf.reduce_sum(nested(x, tf.ones(1), [1.0, *tf.unstack(gate(phi, u))], (2, 4, 8)) ** 2)

    with tf.GradientTape() as tape:
        total = value(phi)
    found = tape.gradient(total, phi).numpy()
    for k in range(2):
        nudge = np.eye(2, dtype="float32")[k] * 1e-2
        slope = (value(phi + nudge) - value(phi - nudge)) / 2e-2
        assert found[k] == pytest.approx(float(slope), rel=2e-2) and found[k] != 0


def test_a_map_has_no_channel_gates():
    transform = calibrated(np.abs(weights(4, 6)), axis=(), signed=False)
    assert not transform.prunes and transform.widths == (2, 4, 8) and transform.grid(None).high == 255
    assert not BayesianBits(prune=False).prune


@pytest.mark.parametrize("arguments", [{"widths": (2, 4, 6)}, {"channel_price": -1}, {"price": -1}, {"widths": (1, 2)}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must"):
        BayesianBits(**arguments)
