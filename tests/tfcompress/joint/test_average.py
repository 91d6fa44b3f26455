import numpy as np
import pytest
import tensorflow as tf

from tfcompress import Grid
from tfcompress.joint.average import average

CODES = [Grid(1.0, bits, signed=False) for bits in (2, 4, 8)]


def gradients_of(x, upstream, sample):
    x, shares = tf.Variable(x), tf.Variable([0.5, 0.3, 0.2])
    with tf.GradientTape() as tape:
        y = average(x, shares, tf.constant([[0.8]]), CODES, clips=True, sample=sample)
        total = tf.reduce_sum(y * upstream)
    return tape.gradient(total, [x, shares])


def test_the_share_of_a_width_gets_the_product_with_its_level_and_values_beyond_the_reach_get_nothing():
    x = np.float32([[0.3, 0.9]])
    by_x, by_shares = gradients_of(x, np.float32([[2.0, 1.0]]), sample=1)
    np.testing.assert_array_equal(by_x, [[2.0, 0.0]])
    steps = np.float32([0.8 / 3, 0.8 / 15, 0.8 / 255])
    np.testing.assert_allclose(by_shares, 2 * np.rint(0.3 / steps) * steps + 0.8, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 4, 10])
def test_a_sample_of_equal_examples_says_what_all_of_them_say(rows):
    x = np.tile(np.abs(np.random.default_rng(0).normal(size=(1, 6))).astype("float32"), (rows, 1))
    whole, part = gradients_of(x, x, sample=1), gradients_of(x, x, sample=4)
    np.testing.assert_array_equal(whole[0], part[0])
    np.testing.assert_allclose(whole[1], part[1], rtol=1e-5)
