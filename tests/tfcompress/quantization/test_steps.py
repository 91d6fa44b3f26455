import numpy as np
import pytest
import tensorflow as tf

from tfcompress.quantization import steps


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_initial_step_has_the_least_error_of_all_steps_within_a_tenth():
    x = normal(4096)
    for bits in (2, 3, 4, 8):
        high = 2 ** (bits - 1) - 1
        errors = {s: np.sum((x - np.clip(np.rint(x / s), -high, high) * s) ** 2) for s in np.geomspace(1e-3, 4, 400)}
        best = min(errors, key=errors.get)
        assert float(steps.initial_step(tf.constant(x), (), -high, high)[0]) == pytest.approx(best, rel=0.12)


def test_the_initial_step_of_a_slice_does_not_depend_on_the_others():
    x = normal(3, 3, 5, 6) * np.arange(1, 7, dtype="float32")
    found = steps.initial_step(tf.constant(x), (-1,), -7, 7)
    assert found.shape == (1, 1, 1, 6)
    for k in range(6):
        np.testing.assert_array_equal(found[..., k], steps.initial_step(tf.constant(x[..., k]), (), -7, 7))


def test_axes_in_the_middle_have_their_own_steps():
    x = normal(3, 4, 5)
    np.testing.assert_array_equal(
        np.ravel(steps.initial_step(tf.constant(x), (1,), -7, 7)),
        np.ravel(steps.initial_step(tf.constant(np.moveaxis(x, 1, -1)), (-1,), -7, 7)),
    )


def test_a_large_tensor_is_judged_by_a_sample(monkeypatch):
    x = normal(5000, 3)
    whole = steps.initial_step(tf.constant(x), (), -7, 7)
    monkeypatch.setattr(steps, "SAMPLE", 1000)
    np.testing.assert_allclose(steps.initial_step(tf.constant(x), (), -7, 7), whole, rtol=0.2)


@pytest.mark.parametrize(("low", "high"), [(-7, 7), (0, 15)])
def test_zeros_get_a_step_that_is_sane(low, high):
    np.testing.assert_allclose(steps.initial_step(tf.zeros((4, 3)), (-1,), low, high), np.full((1, 3), 1 / high))


def test_powers_of_two_are_exact_and_nearest_in_the_logarithm():
    given = np.float32([1.0, 1.41, 1.42, 0.75, 3e-5, 2.9])
    np.testing.assert_array_equal(steps.nearest_power_of_two(tf.constant(given)), [1, 1, 2, 1, 2**-15, 4])
    every = np.exp2(np.linspace(-60, 60, 999)).astype("float32")
    mantissas, _ = np.frexp(steps.nearest_power_of_two(tf.constant(every)).numpy())
    np.testing.assert_array_equal(mantissas, 0.5)


def test_the_gradient_of_a_power_of_two_is_that_of_the_step():
    step = tf.Variable([0.3, 0.7])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(steps.nearest_power_of_two(step) * [2.0, 3.0])
    np.testing.assert_array_equal(tape.gradient(total, step), [2, 3])
