"""The soft staircase: its values, its true gradients, how it becomes hard."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import special

import tfcompress as tfc
from tfcompress import LSQ, SoftRound, testing
from tfcompress.quantization.soft_round import COLDEST, REACH, soft_round
from tfcompress.schedules import Ramp

WEIGHT = {"axis": -1, "signed": True, "narrow_range": True}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def calibrated(transform, x):
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    return transform


def staircase(u, temperature, low, high):
    """By the definition, in float64."""
    thresholds = np.arange(low, high) + 0.5
    return low + np.sum(special.expit((np.float64(u)[..., None] - thresholds) / temperature), axis=-1)


def soft(x, step, temperature, low, high, window=None):
    step = np.broadcast_to(np.float32(step), (1,) * np.ndim(x))
    tensors = [tf.constant(v, "float32") for v in (x, step, temperature)]
    return soft_round(*tensors, low, high, window or high - low).numpy()


def test_values_by_hand():
    """Codes -1, 0, 1 and step 2: in the middle of two codes half of the jump is done, at a code nearly nothing."""
    sigmoid = 1 / (1 + np.exp(-5.0))
    found = soft([1.0, 0.0, 2.0, 100.0], 2.0, 0.1, -1, 1)
    np.testing.assert_allclose(found, [2 * (-1 + 0.5 + 1 / (1 + np.exp(-10.0))), 0, 2 * sigmoid, 2], atol=2e-3)
    np.testing.assert_allclose(found[2], 2 * (-1 + 1 / (1 + np.exp(-15.0)) + sigmoid), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 0.25, 0.1, 0.05])
def test_it_is_the_mean_of_rounded_values_with_logistic_noise(temperature):
    chance = (np.arange(200_000) + 0.5) / 200_000
    noise = temperature * np.log(chance / (1 - chance))
    for u in (-8.0, -0.5, 0.3, 2.71, 6.9):
        mean = np.mean(np.clip(np.rint(u + noise), -7, 7))
        assert soft([u], 1.0, temperature, -7, 7)[0] == pytest.approx(mean, abs=1e-4)


def test_the_colder_the_nearer_to_rounding_and_the_warmer_to_no_rounding():
    x = np.linspace(-6.4, 6.4, 1001, dtype="float32")
    gaps = [np.sqrt(np.mean((soft(x, 1.0, t, -7, 7) - np.rint(x)) ** 2)) for t in (0.5, 0.25, 0.1, 0.05, 0.001)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.03 < 0.13 < gaps[-2] < 0.15
    np.testing.assert_allclose(soft(x, 1.0, 0.5, -7, 7), x, atol=0.15)
    assert np.abs(soft(x[300:700], 1.0, 0.5, -7, 7) - x[300:700]).max() < 1e-3


@pytest.mark.parametrize(("bits", "temperature"), [(4, 0.1), (8, 0.1), (8, 0.5), (6, 0.25)])
def test_a_window_gives_what_all_thresholds_give(bits, temperature):
    high = 2 ** (bits - 1) - 1
    x = np.linspace(-1.2 * high, 1.2 * high, 4001, dtype="float32")
    window = min(2 * int(np.ceil(REACH * temperature)), 2 * high)
    found = soft(x, 1.0, temperature, -high, high, window)
    np.testing.assert_allclose(found, staircase(x, temperature, -high, high), atol=3e-5 * high)
    assert calibrated(SoftRound(bits, temperature, **WEIGHT), normal(8, 2)).window == window


# Gradients


@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.05])
@pytest.mark.parametrize("window", [4, 14])
def test_gradients_are_those_of_finite_differences(temperature, window):
    """On a squared error, for x and the step; straight-through gradients are not."""
    x, step, target = 2 * normal(40, 3), np.float32([[0.5, 0.8, 1.2]]), normal(40, 3, seed=1)
    window = max(window, 2 * int(np.ceil(REACH * temperature))) if window == 4 else window
    tensors = [tf.Variable(v) for v in (x, step)]
    with tf.GradientTape(persistent=True) as tape:
        y = soft_round(*tensors, tf.constant(temperature), -7, 7, min(window, 14))
        error = tf.reduce_sum((y - target) ** 2)
        rounded = tf.reduce_sum((tfc.gradients.multiples(*tensors, -7.0, 7.0) - target) ** 2)

    def loss(x, step):
        return np.sum((staircase(x / step, temperature, -7, 7) * step - target) ** 2)

    true = []
    for k, value in enumerate((x, step)):
        found = np.zeros(value.shape)
        for place in np.ndindex(*value.shape):
            ends = []
            for shift in (1e-5, -1e-5):
                moved = [np.float64(x), np.float64(step)]
                moved[k][place] += shift
                ends.append(loss(*moved))
            found[place] = (ends[0] - ends[1]) / 2e-5
        true.append(found)
    for mine, finite in zip(tape.gradient(error, tensors), true):
        np.testing.assert_allclose(mine, finite, rtol=1e-3, atol=1e-3 * np.abs(finite).max())
    other = tape.gradient(rounded, tensors)[0].numpy().ravel()
    cosine = other @ true[0].ravel() / np.linalg.norm(other) / np.linalg.norm(true[0])
    assert cosine < {0.5: 0.999, 0.1: 0.9, 0.05: 0.7}[temperature]


def test_slopes_are_one_on_average_and_a_quarter_over_the_temperature_at_most():
    x = tf.constant(np.linspace(-6.5, 6.5, 13001, dtype="float32"))
    for temperature in (0.5, 0.1, 0.05):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = soft_round(x, tf.constant([1.0]), tf.constant(temperature), -8, 7, 15)
        slope = tape.gradient(y, x).numpy()
        assert np.mean(slope) == pytest.approx(1, abs=0.02)
        assert slope.max() == pytest.approx(max(1.0, 0.25 / temperature), rel=0.05)


# The transform


def test_inference_is_plain_rounding_and_a_warm_call_is_not():
    x = normal(64, 6)
    transform = calibrated(SoftRound(3, 0.25, **WEIGHT), x)
    step = np.array(transform.step)
    hard = np.clip(np.rint(x / step), -3, 3) * step
    np.testing.assert_array_equal(transform(x), hard)
    np.testing.assert_array_equal(transform(x, training=False), hard)
    warm = np.array(transform(x, training=True))
    assert 0.05 < np.abs(warm - hard).max() / step.max() < 0.5
    np.testing.assert_allclose(warm, staircase(x / step, 0.25, -3, 3) * step, rtol=1e-4, atol=1e-5)


def test_the_temperature_follows_its_schedule_and_the_end_is_hard():
    x = normal(64, 6)
    transform = calibrated(SoftRound(4, Ramp(0, 4, 0.05, 0.5, geometric=True), hard_step=5, **WEIGHT), x)
    step = np.array(transform.step)
    for k in range(8):
        temperature = 0.5 * 0.1 ** (min(k, 4) / 4)
        with tf.GradientTape() as tape:
            made = transform(tensor := tf.Variable(x), training=True)
        expected = np.array(transform(x)) if k >= 5 else staircase(x / step, temperature, -7, 7) * step
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5 * (k < 5))
        inside = np.abs(x) < 7 * step
        straight = np.all(tape.gradient(made, tensor).numpy()[inside] == 1)
        assert straight == (k >= 5)
    assert int(transform.count) == 8


def test_steps_learn_as_those_of_lsq_once_training_is_hard():
    x, gradients = normal(32, 4), []
    for transform in (SoftRound(4, hard_step=0, **WEIGHT), LSQ(4, **WEIGHT)):
        calibrated(transform, x)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(transform(tf.constant(x), training=True) ** 2)
        gradients.append(tape.gradient(total, transform.ratio.value))
    np.testing.assert_allclose(*gradients, rtol=1e-5)


def test_temperatures_do_not_fall_below_a_thousandth():
    transform = SoftRound(4, Ramp(0, 10, final=0.0, initial=0.2))
    assert float(transform.temperature_at(10)) == np.float32(COLDEST)
    assert float(transform.temperature_at(5)) == pytest.approx(0.1)


def test_the_first_training_call_calibrates_and_without_it_there_is_nothing():
    x = normal(16, 4)
    transform = SoftRound(4, name="mine", **WEIGHT)
    transform.build(x.shape)
    transform.built = True
    assert np.isnan(transform(x)).all()
    with pytest.raises(ValueError, match=r"SoftRound 'mine' must be calibrated.*tfcompress\.calibrate"):
        transform.grid(x)
    transform(x, training=True)
    np.testing.assert_array_equal(transform.step, calibrated(SoftRound(4, **WEIGHT), x).step)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 1}, "`bits` must be a whole number from 2 to 8"),
        ({"temperature": 0.0}, "`temperature` must be above 0, or a schedule"),
        ({"hard_step": -1}, "`hard_step` must be at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SoftRound(**arguments)


@pytest.mark.parametrize("arguments", [{"bits": 5, "hard_step": 2}, {"bits": 2, "axis": (0, 1)}])
def test_other_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: SoftRound(**arguments), (4, 5, 3))


def test_schedules_are_saved(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="dense")])
    small = tfc.compress(model, {"dense": {"kernel": SoftRound(4, Ramp(2, 9, 0.1, 0.4, geometric=True), 9)}})
    small.save(tmp_path / "small.keras")
    found = keras.models.load_model(tmp_path / "small.keras").layers[0].transforms["kernel"]
    assert repr(found.temperature) == "Ramp(begin_step=2, end_step=9, final=0.1, initial=0.4, geometric=True)"
    assert found.hard_step == 9 and found.get_config() == small.layers[0].transforms["kernel"].get_config()
