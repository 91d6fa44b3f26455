"""What the kinds of dictionaries start from, allow and refuse."""

import numpy as np
import pytest
import tensorflow as tf

from tfcompress.weight_tying.dictionaries import Free, Listed, PowersOfTwo, dictionary, int8_codes, spread


def column(*numbers):
    return tf.constant(np.float32(numbers)[:, None])


def counts(*numbers):
    return tf.constant([numbers], "int32")


def test_a_free_dictionary_starts_evenly_spaced_over_the_range():
    np.testing.assert_allclose(Free(3, False).start(column(-1, 0.5, 2, 3, 1)), [[-1, 1, 3]])


def test_more_entries_than_numbers_hold_them_all():
    np.testing.assert_array_equal(Free(4, False).start(column(3, -1)), [[-1, 3, 3, 3]])


def test_the_entry_nearest_to_zero_gives_way_to_zeros():
    entries, free = tf.constant([[-0.4, -0.1, 0.2]]), Free(3, False)
    np.testing.assert_array_equal(free.in_use(column(0.1, -0.3), entries), entries)
    np.testing.assert_array_equal(free.in_use(column(0.1, 0.0), entries), np.float32([[-0.4, 0, 0.2]]))
    np.testing.assert_array_equal(Free(3, True).in_use(column(0.1), entries), np.float32([[-0.4, 0, 0.2]]))


@pytest.mark.parametrize(
    ("size", "zero", "expected"),
    [
        (2, False, [-1, 1]),
        (4, False, [-1, -0.5, 0.5, 1]),
        (4, True, [-1, 0, 0.5, 1]),
        (16, False, [*(-(2.0**-k) for k in range(7)), 0, *(2.0 ** (k - 6) for k in range(7))]),
    ],
)
def test_powers_of_two_start_from_the_highest_octaves(size, zero, expected):
    np.testing.assert_array_equal(PowersOfTwo(size, zero).start(column(0.2, -1.3)), [expected])


def test_rounding_is_in_the_logarithm_and_octaves_are_seven():
    kind = PowersOfTwo(4, False)
    x, entries = column(-4.0, 1.0), tf.constant([[-2.0, -1.0, 1.0, 2.0]])
    wanted = tf.constant([[-4.2, -1.45, 1e-6, 1.40]])
    np.testing.assert_array_equal(kind.placed(x, entries, wanted, counts(1, 1, 1, 1)), [[-4, -2, 2.0**-4, 1]])


def test_of_entries_that_meet_the_one_with_most_members_stays():
    kind = PowersOfTwo(4, False)
    x, entries = column(-1.0, 1.0), tf.constant([[-1.0, 0.25, 0.5, 1.0]])
    wanted = tf.constant([[-1.0, 0.51, 0.52, 1.0]])
    few = kind.placed(x, entries, wanted, counts(9, 5, 7, 3))
    np.testing.assert_array_equal(few, [[-1, 0.25, 0.5, 1]])
    many = kind.placed(x, entries, wanted, counts(9, 7, 5, 3))
    np.testing.assert_array_equal(many, [[-1, 0.5, 0.25, 1]])


def test_all_entries_get_a_place_of_their_own_whatever_they_ask_for():
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = int(rng.integers(2, 15))
        place = rng.choice([0, 3, 5, 6, 8, 9, 14], (3, size)).astype("int32")
        found = np.array(spread(tf.constant(place), tf.constant(rng.integers(0, 3, (3, size)), "int32")))
        assert all(len(set(row)) == size and 7 not in row for row in found)
        one_sided = np.sum(place > 7, axis=1) <= 7
        same_sign = np.all((found > 7) == (place > 7), axis=1)
        assert np.all(same_sign | ~one_sided | (np.sum(place < 7, axis=1) > 7))


def test_a_scaled_list_has_the_mean_magnitude_of_what_is_assigned():
    kind = Listed([-1, 0, 1], scaled=True)
    entries, wanted = tf.constant([[-1.0, 0.0, 1.0]]), tf.constant([[-2.0, 0.1, 4.0]])
    np.testing.assert_allclose(kind.placed(column(1), entries, wanted, counts(3, 9, 1)), [[-2.5, 0, 2.5]])


def test_zeros_do_not_count_for_the_factor_of_a_list_without_zero():
    kind, x = Listed([-1, 1], scaled=True), column(0, 0, -2, 3)
    placed = kind.placed(x, tf.constant([[-1.0, 1.0]]), tf.constant([[-2 / 3, 3.0]]), counts(3, 1))
    np.testing.assert_allclose(placed, [[-2.5, 2.5]], rtol=1e-6)


def test_lists_are_whole_multiples_of_one_scale():
    codes, scale = int8_codes([0.3, -0.1, 0.2])
    assert codes.tolist() == [-1, 2, 3] and scale == np.float32(0.1)
    with pytest.warns(UserWarning, match=r"must be whole multiples.*Received: values=\[-0.9173, 0.1234, 0.777\]"):
        codes, scale = int8_codes([-0.9173, 0.1234, 0.777])
    assert codes.tolist() == [-127, 17, 108]
    assert int8_codes((codes * scale).tolist())[0].tolist() == codes.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, "free", False, None), "`size` must be from 2 to 256"),
        ((17, "power_of_two", False, None), "`size` must be from 2 to 16"),
        ((4, "free", False, True), "`scaled` goes with a list"),
        ((4, "quaternary", False, None), "`values` must be 'free'"),
        ((None, [1, 1], False, None), "`values` must be 'free'"),
        ((4, "ternary", False, None), "`size` must be that of the list of values, 3"),
        ((None, "binary", True, None), "`zero` and `sparsity` need a 0"),
        ((None, [0, 1], False, True), "must be symmetric"),
    ],
)
def test_arguments_that_describe_no_dictionary_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        dictionary(*arguments)
