"""K-means without a table of distances gives what the table gives."""

import numpy as np
import pytest
import tensorflow as tf

from tfcompress.weight_tying import clustering


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("size", [2, 3, 16, clustering.FEW + 1, 100])
@pytest.mark.parametrize("slices", [1, 3])
def test_members_are_those_of_the_table_of_distances(size, slices):
    x, entries = numbers(500, slices), np.sort(numbers(slices, size, seed=1), axis=1)
    index = clustering.nearest(tf.constant(x), tf.constant(entries))
    expected = np.abs(x[:, :, None] - entries).argmin(axis=2)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(clustering.looked_up(entries, index), np.take_along_axis(entries.T, expected, axis=0))
    for bins in (True, False):
        sums, counts = clustering.members(tf.constant(x), index, tf.constant(entries), bins)
        for k in range(slices):
            np.testing.assert_array_equal(counts[k], np.bincount(expected[:, k], minlength=size))
            by_hand = np.bincount(expected[:, k], x[:, k], minlength=size)
            np.testing.assert_allclose(sums[k], by_hand, rtol=1e-5, atol=1e-5)


def test_an_entry_without_members_stays():
    means = clustering.means(np.float32([[1, 2]]), np.float32([[0, 9]]), np.int32([[0, 3]]))
    np.testing.assert_array_equal(means, [[1, 3]])


@pytest.mark.parametrize("axis", [(), (0,), (-1,), (1, 3), (-2, -1)])
def test_columns_are_the_slices_and_come_back(axis):
    x = numbers(2, 3, 4, 5)
    columns = np.array(clustering.columns(x, axis))
    np.testing.assert_array_equal(clustering.as_weight(columns, x.shape, axis), x)
    others = tuple(a for a in range(4) if a not in {k % 4 for k in axis})
    np.testing.assert_allclose(columns.mean(axis=0), x.mean(axis=others).ravel(), rtol=1e-4, atol=1e-6)


def test_deployed_entries_are_codes_of_8_bits_and_the_scale_can_be_read_from_them():
    for seed in range(50):
        entries = numbers(4, 16, seed=seed) * np.float32(10.0) ** (seed - 25)
        deployed = np.array(clustering.on_int8(tf.constant(entries)))
        step = np.abs(entries).max(axis=1, keepdims=True) / 127
        assert np.all(np.abs(deployed - entries) <= 0.5021 * step)
        for row in deployed:
            codes = np.rint(row / (np.abs(row).max() / np.float32(127)))
            scale = np.float32(np.abs(row).max() / 127)
            np.testing.assert_array_equal(codes.astype("float32") * scale, row)
            assert all(np.float32(np.float32(c) * scale) / np.float32(c) == scale for c in range(1, 128))


@pytest.mark.parametrize("compiled", [False, True])
def test_powers_of_two_and_their_exponents_are_exact(compiled):
    x = numbers(1000) * np.float32(10.0) ** np.random.default_rng(1).integers(-30, 30, 1000)
    exponent = tf.function(clustering.exponent, jit_compile=compiled)
    np.testing.assert_array_equal(exponent(x.astype("float32")), np.rint(np.log2(np.abs(x))))
    assert int(exponent(tf.constant([0.0]))[0]) == -127
    all_of_them = tf.range(-126, 128)
    powers = tf.function(clustering.power_of_two, jit_compile=compiled)(all_of_them)
    np.testing.assert_array_equal(powers, np.ldexp(np.float32(1), all_of_them))


def test_rounding_in_the_logarithm_changes_at_the_root_of_two():
    np.testing.assert_array_equal(clustering.exponent(tf.constant([1.4142, 1.4143, -0.7, 3.0])), [0, 1, -1, 2])
