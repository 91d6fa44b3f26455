import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy import stats
from sklearn.datasets import load_digits

import tfcompress as tfc
from tfcompress import RelaxedQuantizer, testing
from tfcompress.quantization import relaxed as technique

WEIGHT = {"axis": -1, "signed": True, "narrow_range": True}
LEVELS = [(bits, 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) for bits in range(2, 9)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, "float32")


def calibrated(transform, x):
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    return transform


def sample(x, step, ratio, low, high, noise, temperature=1.0, hard=False):
    step, ratio = (np.broadcast_to(np.float32(v), (1,) * np.ndim(x)) for v in (step, ratio))
    tensors = [tf.constant(v, "float32") for v in (x, step, ratio, temperature, noise)]
    return technique.relaxed(*tensors, low, high, hard).numpy()


def probabilities(x, ratio, low, high):
    """By the definition, over the whole grid, in float64; the last axis is that of the grid points."""
    points = np.arange(low, high + 1)
    x = np.clip(np.float64(x), low - 0.5, high + 0.5)[..., None]
    ends, begins = (1 / (1 + np.exp(-(points + half - x) / ratio)) for half in (0.5, -0.5))
    return (ends - begins) / np.sum(ends - begins, axis=-1, keepdims=True)


# Probabilities: equal random numbers for all grid points leave nothing but them


@settings(deadline=None, max_examples=200)
@given(
    x=st.floats(-300, 300, width=32),
    step=st.floats(2**-10, 8, width=32),
    ratio=st.floats(0.05, 1),
    level=st.sampled_from(LEVELS),
    window=st.sampled_from([3, 5, 9]),
)
def test_the_most_probable_grid_point_is_the_nearest_one_in_and_out_of_range(x, step, ratio, level, window):
    _, low, high = level
    equal = np.full((min(window, high - low + 1), 1), 0.5)
    drawn = sample([x], step, ratio, low, high, equal, hard=True)[0]
    code, inside = np.rint(drawn / np.float32(step)), np.clip(np.float32(x) / np.float32(step), low, high)
    assert drawn == code * np.float32(step) and low <= code <= high
    assert abs(code - inside) <= 0.5 + 1e-5 * (1 + abs(inside))


@settings(deadline=None, max_examples=100)
@given(x=st.floats(-30, 30, width=32), ratio=st.floats(0.05, 1), level=st.sampled_from(LEVELS[:3]))
def test_probabilities_sum_to_one_and_are_those_of_the_definition(x, ratio, level):
    """With equal random numbers, y is the mean of the grid points by their probabilities."""
    _, low, high = level
    count = high - low + 1
    expected = probabilities(np.float64(np.float32(x)), ratio, low, high)
    mean = sample([x], 1.0, ratio, low, high, np.full((count, 1), 0.5))
    np.testing.assert_allclose(mean[0], expected @ np.arange(low, high + 1), atol=2e-4 * high)
    assert np.sum(expected) == pytest.approx(1)


def test_values_by_hand():
    """Step 0.1, noise a third of it: x = 0.03 is drawn to 0 with probability 0.562; x = 0.05 is fair to 0 and 0.1."""
    equal = np.full((15, 2), 0.5)
    y = sample([0.03, 0.05], 0.1, 1 / 3, -7, 7, equal)
    assert probabilities(0.3, 1 / 3, -7, 7)[7] == pytest.approx(0.562, abs=5e-4)
    np.testing.assert_allclose(y, [0.0294, 0.05], atol=6e-5)


@pytest.mark.parametrize(("window", "tolerance"), [(5, 1e-3 * 7), (7, 1e-3), (9, 1e-4)])
def test_a_window_gives_what_the_whole_grid_gives(window, tolerance):
    """In steps; the default window stays below a thousandth of the range of 4-bit codes."""
    x = np.linspace(-9, 9, 1801, dtype="float32")

    def played(size):
        tensors = [tf.Variable(v) for v in (x, np.float32([1]), np.float32([1 / 3]))]
        with tf.GradientTape() as tape:
            y = technique.relaxed(*tensors, tf.constant(1.0), tf.fill((size, len(x)), 0.5), -7, 7)
        return [y, *(g / (1 if k == 0 else len(x)) for k, g in enumerate(tape.gradient(y, tensors)))]

    whole, part = played(15), played(window)
    np.testing.assert_allclose(part[0], whole[0], atol=tolerance)
    for a, b in zip(part[2:], whole[2:]):
        np.testing.assert_allclose(a, b, atol=tolerance)
    np.testing.assert_allclose(part[1], whole[1], atol=10 * tolerance)


# Samples


@pytest.mark.parametrize("x", [-2.8, 0.3, 1.5, 6.4, 11.0])
@pytest.mark.parametrize("form", [{"temperature": 1e-4}, {"hard": True}])
def test_cold_and_hard_samples_lie_on_the_grid_with_the_frequencies_of_the_probabilities(x, form):
    count = 20_000
    y = sample(np.full(count, x), 1.0, 1 / 3, -7, 7, uniform(15, count), **form)
    off = np.abs(y - np.rint(y)) > 1e-3
    assert np.mean(off) < 1e-3
    expected = probabilities(x, 1 / 3, -7, 7)
    seen = np.array([np.sum(np.rint(y[~off]) == k) for k in range(-7, 8)])
    usual = expected * count > 5
    seen, expected = (np.append(v[usual], v[~usual].sum()) for v in (seen, expected))
    assert stats.chisquare(seen, expected / expected.sum() * seen.sum()).pvalue > 1e-3


@pytest.mark.parametrize(("ratio", "form", "bias"), [(1 / 3, {"hard": True}, 0.02), (1 / 3, {}, 0.08), (0.5, {}, 0.08)])
def test_samples_are_about_the_value_itself_where_the_noise_is_a_third_of_a_step(ratio, form, bias):
    x = np.repeat(np.linspace(-4, 4, 41, dtype="float32"), 20_000)
    y = sample(x, 1.0, ratio, -7, 7, uniform(15, len(x)), **form).reshape(41, -1)
    rounding = np.abs(np.rint(x) - x).max()
    assert np.abs(y.mean(axis=1) - x.reshape(41, -1)[:, 0]).max() < bias < rounding


def test_without_noise_samples_are_rounded_values():
    x = np.linspace(-9, 9, 500, dtype="float32") + 0.013
    far = np.abs(np.abs(x - np.rint(x)) - 0.5) > 0.02
    for ratio in (1e-3, 1e-6):
        y = sample(x, 1.0, ratio, -7, 7, uniform(5, len(x)))
        np.testing.assert_allclose(y[far], np.clip(np.rint(x), -7, 7)[far], atol=1e-5)


def test_samples_stay_within_the_grid_whatever_the_random_numbers():
    x = np.float32([-1e6, -7.5, -0.5, 0, 3.2, 7.5, 1e6])
    for number in (technique.IMPOSSIBLE, 1e-7, 0.5, np.float32(1) - np.float32(2) ** -24):
        y = sample(x, 1.0, 0.05, -7, 7, np.full((5, 7), number))
        assert np.isfinite(y).all() and np.abs(y).max() <= 7


# Gradients


def naive(x, step, ratio, temperature, noise, low, high):
    """The equations of the module, traced by TensorFlow in float64, over the whole grid."""
    points = tf.reshape(tf.range(low, high + 1, dtype="float64"), (-1, 1, 1)) * step
    x = tf.clip_by_value(x, (low - 0.5) * step, (high + 0.5) * step)
    sigma = ratio * step
    pi = tf.sigmoid((points + step / 2 - x) / sigma) - tf.sigmoid((points - step / 2 - x) / sigma)
    z = tf.nn.softmax((tf.math.log(pi + 1e-30) - tf.math.log(-tf.math.log(noise))) / temperature, axis=0)
    return tf.reduce_sum(z * points, axis=0)


@pytest.mark.parametrize("temperature", [1.0, 0.4])
@pytest.mark.parametrize(("bits", "low", "high"), LEVELS[:4])
def test_gradients_are_the_true_ones(bits, low, high, temperature):
    x, upstream = normal(30, 4) * high / 2, normal(30, 4, seed=1)
    noise = np.clip(uniform(high - low + 1, 30, 4), 1e-3, 0.999)
    values = [x, np.float32([[0.5, 0.8, 1, 1.2]]), np.float32([[0.2, 0.33, 0.5, 0.9]])]
    found = []
    for dtype, function in (("float32", technique.relaxed), ("float64", naive)):
        tensors = [tf.Variable(v, dtype=dtype) for v in values]
        rest = [tf.constant(v, dtype) for v in (temperature, noise)]
        with tf.GradientTape() as tape:
            y = function(*tensors, *rest, low, high)
            total = tf.reduce_sum(y * tf.constant(upstream, dtype))
        found.append([y, *tape.gradient(total, tensors)])
    for mine, true in zip(*found):
        np.testing.assert_allclose(mine, true, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("hard", [False, True])
def test_weights_steps_and_noise_get_gradients_at_every_width(bits, hard):
    x = tf.Variable(normal(64, 6))
    transform = calibrated(RelaxedQuantizer(bits, hard=hard, seed=0, **WEIGHT), x.numpy())
    with tf.GradientTape() as tape:
        total = tf.reduce_sum((transform(x, training=True) - 1.0) ** 2)
    for gradient in tape.gradient(total, [x, *(v.value for v in transform.trainable_variables)]):
        assert np.all(np.isfinite(gradient)) and np.all(np.abs(gradient).max(axis=0) > 0)


def test_hard_samples_have_the_gradients_of_soft_ones():
    x, noise = normal(50, 3) * 3, uniform(5, 50, 3)
    gradients = []
    for hard in (False, True):
        tensors = [tf.Variable(v) for v in (x, np.float32([[1.0]]), np.float32([[0.4]]))]
        with tf.GradientTape() as tape:
            y = technique.relaxed(*tensors, tf.constant(0.7), tf.constant(noise), -7, 7, hard)
        gradients.append(tape.gradient(y, tensors))
        assert np.array_equal(y, np.rint(y)) == hard
    np.testing.assert_array_equal(gradients[0][0], gradients[1][0])
    np.testing.assert_array_equal(gradients[0][2], gradients[1][2])


def test_values_beyond_the_grid_get_no_gradient_and_lead_the_step_to_them():
    x, step = tf.Variable([[30.0, -30.0, 1.2]]), tf.Variable([[1.0]])
    with tf.GradientTape() as tape:
        y = technique.relaxed(x, step, tf.constant([[0.1]]), tf.constant(1.0), tf.fill((5, 1, 3), 0.5), -7, 7)
        loss = tf.reduce_sum((x - y) ** 2) / 2
    by_step = tape.gradient(loss, step)
    assert by_step.numpy().item() < -100
    with tf.GradientTape() as tape:
        y = technique.relaxed(x, step, tf.constant([[0.1]]), tf.constant(1.0), tf.fill((5, 1, 3), 0.5), -7, 7)
    by_x = tape.gradient(y, x).numpy()[0]
    assert by_x[0] == by_x[1] == 0 and by_x[2] != 0


# The transform


def test_inference_is_plain_rounding_and_draws_nothing():
    x = normal(64, 6)
    transform = calibrated(RelaxedQuantizer(3, **WEIGHT), x)
    step = np.array(transform.step)
    before = transform.generator.state.numpy()
    np.testing.assert_array_equal(transform(x), np.clip(np.rint(x / step), -3, 3) * step)
    np.testing.assert_array_equal(transform.generator.state, before)
    assert not np.array_equal(transform(x, training=True), transform(x, training=True))


def test_from_the_hard_step_on_training_rounds_with_a_straight_through_gradient():
    x = normal(64, 6)
    transform = calibrated(RelaxedQuantizer(4, hard_step=2, **WEIGHT), x)
    for k in range(4):
        with tf.GradientTape() as tape:
            made = transform(tensor := tf.Variable(x), training=True)
        assert np.array_equal(made, transform(x)) == (k >= 2)
        inside = np.abs(x) < 7 * np.array(transform.step)
        assert np.all(tape.gradient(made, tensor).numpy()[inside] == 1) == (k >= 2)
    assert int(transform.count) == 4


def test_the_same_seed_draws_the_same():
    x = normal(64, 6)
    first, second, other = (calibrated(RelaxedQuantizer(4, seed=s), x)(x, training=True) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_lower_temperatures_are_nearer_to_the_grid():
    x, errors = normal(64, 6), []
    for temperature in (1.0, 0.5, 0.1):
        transform = calibrated(RelaxedQuantizer(4, temperature, seed=0, **WEIGHT), x)
        codes = np.array(transform(x, training=True) / transform.step)
        errors.append(np.mean(np.abs(codes - np.rint(codes))))
        assert float(transform.temperature) == np.float32(temperature)
    assert errors[0] > 1.3 * errors[1] > 3 * errors[2], errors


def test_noise_stays_between_a_twentieth_of_a_step_and_a_step():
    transform = calibrated(RelaxedQuantizer(4, **WEIGHT), normal(8, 2))
    np.testing.assert_allclose(transform.ratio, [[1 / 3, 1 / 3]], rtol=1e-6)
    constraint = transform.log_ratio.constraint
    np.testing.assert_allclose(np.exp(constraint(np.float32([-9, 9]))), [1 / 20, 1], rtol=1e-6)


def test_the_first_training_call_calibrates_and_without_it_there_is_nothing():
    x = normal(16, 4)
    transform = RelaxedQuantizer(4, name="mine", **WEIGHT)
    transform.build(x.shape)
    transform.built = True
    assert np.isnan(transform(x)).all()
    with pytest.raises(ValueError, match=r"'mine' must be calibrated.*tfcompress\.calibrate"):
        transform.grid(x)
    transform(x, training=True)
    np.testing.assert_array_equal(transform.step, calibrated(RelaxedQuantizer(4, **WEIGHT), x).step)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 1}, "`bits` must be a whole number from 2 to 8"),
        ({"bits": 9}, "`bits` must be"),
        ({"temperature": 0.0}, "`temperature` must be above 0"),
        ({"window": 4}, "`window` must be an odd number"),
        ({"window": 1}, "`window` must be an odd number"),
        ({"hard_step": -1}, "`hard_step` must be at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelaxedQuantizer(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"bits": 8, "hard": True, "hard_step": 2}, {"bits": 2, "window": 3, "axis": (0, 1)}]
)
def test_other_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: RelaxedQuantizer(**arguments), (4, 5, 3))


JAX = """
import sys
import jax, numpy as np
from tfcompress.quantization.relaxed import relaxed
x, step, ratio, noise, upstream = np.load(sys.argv[1]).values()
for hard in (False, True):
    f = lambda x, step, ratio: (relaxed(x, step, ratio, np.float32(0.7), noise, -7, 7, hard) * upstream).sum()
    value, gradients = jax.jit(jax.value_and_grad(f, (0, 1, 2)))(x, step, ratio)
    np.savez(f"{sys.argv[2]}/{hard}.npz", value, *gradients)
"""


@pytest.mark.slow
def test_jax_gives_what_tensorflow_gives_from_the_same_random_numbers(tmp_path):
    pytest.importorskip("jax")
    arrays = [normal(40, 5) * 4, uniform(1, 5) + 0.5, uniform(1, 5, seed=1) / 2 + 0.1, uniform(5, 40, 5), normal(40, 5)]
    np.savez(tmp_path / "in.npz", *arrays)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", JAX, tmp_path / "in.npz", tmp_path], env=environment, check=True)
    for hard in (False, True):
        tensors, (noise, upstream) = [tf.Variable(v) for v in arrays[:3]], map(tf.constant, arrays[3:])
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(technique.relaxed(*tensors, tf.constant(0.7), noise, -7, 7, hard) * upstream)
        for mine, jax in zip([value, *tape.gradient(value, tensors)], np.load(tmp_path / f"{hard}.npz").values()):
            np.testing.assert_allclose(mine, jax, rtol=1e-4, atol=1e-3)


# Learning, on handwritten digits


def digits():
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32")
    return x[:1347], labels[:1347], x[1347:], labels[1347:]


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


@pytest.mark.slow
def test_two_bits_that_are_learned_beat_two_bits_that_are_rounded_to_and_steps_move():
    x, y, *test = digits()
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(n, activation="relu", name=name) for n, name in ((48, "first"), (32, "second"))]
    network = compiled(keras.Sequential([keras.Input((64,), name="pixels"), *hidden, layers.Dense(10, name="last")]))
    network.fit(x, y, batch_size=64, epochs=12, verbose=0)
    rule = {"kernel": RelaxedQuantizer(2, seed=0), "output": RelaxedQuantizer(8, seed=1)}
    small = tfc.compress(network, {".*": rule})
    tfc.calibrate(small, x[:256])
    rounded = compiled(small).evaluate(*test, verbose=0)[1]
    transforms = [layer.transforms["kernel"] for layer in small.layers if isinstance(layer, tfc.Compressed)]
    steps = [np.array(t.step) for t in transforms]
    cooling = tfc.callbacks.Anneal("temperature", lambda step: max(0.5, 1 - step / 300))
    small.fit(x, y, batch_size=64, epochs=12, verbose=0, callbacks=[cooling])
    learned, plain = small.evaluate(*test, verbose=0)[1], network.evaluate(*test, verbose=0)[1]
    assert plain > 0.9 and learned > rounded + 0.03 and learned > plain - 0.05, (plain, rounded, learned)
    for transform, step in zip(transforms, steps):
        assert np.mean(np.abs(transform.step / step - 1) > 0.01) > 0.5
        assert np.any(np.abs(transform.ratio - 1 / 3) > 0.01)
        assert float(transform.temperature) == 0.5
