import numpy as np
import pytest
import tensorflow as tf

from tfcompress import gradients


def value_and_gradient(function, *arrays):
    variables = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        value = function(*variables)
        total = tf.reduce_sum(value)
    return value.numpy(), *[g.numpy() for g in tape.gradient(total, variables)]


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    value, slope = value_and_gradient(lambda x: gradients.straight_through(tf.sign(x), x**2, 3.0), np.float32([-2, 5]))
    np.testing.assert_array_equal(value, [-1, 1])
    np.testing.assert_array_equal(slope, [3 * 2 * -2, 3 * 2 * 5])


def test_rounding_has_the_gradient_of_the_identity():
    value, slope = value_and_gradient(gradients.round_through, np.float32([-1.5, -0.4, 0.5, 2.6]))
    np.testing.assert_array_equal(value, [-2, 0, 0, 3])
    np.testing.assert_array_equal(slope, [1, 1, 1, 1])


def test_scaling_a_gradient_keeps_the_value_bit_for_bit():
    x = np.random.default_rng(0).normal(size=100_000).astype("float32")
    factor = np.random.default_rng(1).uniform(1e-4, 1e3, size=x.shape).astype("float32")
    value, slope = value_and_gradient(lambda x: gradients.scale(x, factor), x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(slope, factor)


def test_what_is_swift_moves_as_far_by_plain_descent_and_further_by_adam():
    value, slope = value_and_gradient(lambda x: gradients.swift(x, 8.0), np.float32([0.5, -2]))
    np.testing.assert_array_equal(value, [4, -16])
    np.testing.assert_array_equal(slope, [1 / 8, 1 / 8])  # so that eight times a step of 1/8 is a step of 1


def test_values_are_whole_codes_times_the_step_bit_for_bit():
    x = np.random.default_rng(0).normal(size=(1000, 7)).astype("float32")
    step = np.random.default_rng(1).uniform(0.003, 0.3, size=(1, 7)).astype("float32")
    y, _, _ = value_and_gradient(lambda x, step: gradients.multiples(x, step, -7.0, 7.0), x, step)
    np.testing.assert_array_equal(y, np.clip(np.rint(x / step), -7, 7).astype("float32") * step)


def test_gradients_of_multiples_by_hand():
    x, step = np.float32([[0.3, -2.2], [9.0, 0.1]]), np.float32([[0.5, 0.5]])
    y, by_x, by_step = value_and_gradient(lambda x, step: gradients.multiples(x, step, -3.0, 3.0), x, step)
    np.testing.assert_array_equal(y, [[0.5, -1.5], [1.5, 0.0]])
    np.testing.assert_array_equal(by_x, [[1, 0], [0, 1]])
    # code - x / step inside: 1 - 0.6 and 0 - 0.2; low or high outside
    np.testing.assert_allclose(by_step, [[0.4 + 3, -3 - 0.2]], rtol=1e-6)


def test_the_range_ends_half_a_step_behind_the_last_level():
    x = np.float32([[-3.51, -3.49, 3.49, 3.51]])
    _, by_x, _ = value_and_gradient(lambda x, step: gradients.multiples(x, step, -3.0, 3.0), x, np.float32([[1]]))
    np.testing.assert_array_equal(by_x, [[0, 1, 1, 0]])


def test_gradient_of_multiples_equals_that_of_the_composed_formula():
    rng = np.random.default_rng(0)
    x, step = rng.normal(size=(50, 4)).astype("float32"), np.float32([[0.1, 0.2, 0.3, 0.4]])
    weights = rng.normal(size=x.shape).astype("float32")

    def composed(x, step):
        return tf.clip_by_value(gradients.round_through(x / step), -3.0, 3.0) * step * weights

    fused = value_and_gradient(lambda x, step: gradients.multiples(x, step, -3.0, 3.0) * weights, x, step)
    for one, other in zip(fused, value_and_gradient(composed, x, step), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 4), (2, 3, 4), (1, 3, 1)])
def test_sum_to_a_shape_sums_over_its_axes_of_size_one(shape):
    x, ones = np.arange(24, dtype="float32").reshape(2, 3, 4), np.ones(shape, "float32")
    axes = tuple(k for k in range(3) if shape[k] == 1)
    np.testing.assert_array_equal(gradients.sum_to(tf.constant(x), tf.constant(ones)), x.sum(axes, keepdims=True))
