import numpy as np
import pytest
import tensorflow as tf

from tfcompress.pruning import boxes

KERNEL, TRANSPOSED, DEPTHWISE, DENSE = (3, 3, 8, 6), (3, 3, 6, 8), (3, 3, 8, 1), (20, 6)


@pytest.mark.parametrize(
    ("shape", "group", "axis", "depthwise", "expected"),
    [
        (KERNEL, "output_channel", (-1,), False, (3, 3, 8, 1)),
        (KERNEL, 4, (-1,), False, (1, 1, 4, 1)),
        (KERNEL, (4, 2), (-1,), False, (1, 1, 4, 2)),
        (TRANSPOSED, "output_channel", (-2,), False, (3, 3, 1, 8)),
        (TRANSPOSED, (4, 2), (-2,), False, (1, 1, 2, 4)),
        (DEPTHWISE, "output_channel", (-2, -1), True, (1, 1, 8, 1)),
        (DEPTHWISE, 4, (-2, -1), True, (1, 1, 4, 1)),
        (DEPTHWISE, (4, 3), (-2, -1), True, (1, 3, 4, 1)),
        (DENSE, "output_channel", (-1,), False, (20, 1)),
        (DENSE, (4, 6), (-1,), False, (4, 6)),
        ((8, 2, 3), "output_channel", (-2, -1), False, (8, 1, 1)),  # EinsumDense
        ((6,), 3, (), False, (3,)),  # a bias
    ],
)
def test_box_of_a_group(shape, group, axis, depthwise, expected):
    assert boxes.box_of(shape, boxes.checked(group), axis, depthwise, "t") == expected


@pytest.mark.parametrize(("shape", "group"), [(DENSE, 21), (DENSE, (4, 7)), ((3, 3, 1, 6), 4), ((6,), (2, 2))])
def test_a_weight_smaller_than_a_group_is_refused(shape, group):
    axis = (-1,) if len(shape) > 1 else ()
    with pytest.raises(ValueError, match="'t': a weight must hold at least one whole group.*leave this layer out"):
        boxes.box_of(shape, group, axis, False, "t")


@pytest.mark.parametrize("group", ["channel", 0, (4, 0), (2, 2, 2), ()])
def test_other_groups_are_refused(group):
    with pytest.raises(ValueError, match="`group` must be 'output_channel', k or"):
        boxes.checked(group)


@pytest.mark.parametrize(("shape", "box"), [((4, 6), (2, 3)), ((5, 7), (2, 3)), ((2, 3, 4), (2, 1, 2)), ((7,), (3,))])
def test_means_columns_and_the_way_back_agree(shape, box):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    columns = np.array(boxes.to_columns(tf.constant(x), box))
    starts = list(np.ndindex(*(n // size for n, size in zip(shape, box))))
    blocks = [x[tuple(slice(k * s, k * s + s) for k, s in zip(start, box))] for start in starts]
    np.testing.assert_array_equal(columns.T, [block.ravel() for block in blocks])
    means = np.ravel(boxes.mean(tf.constant(x), box))
    np.testing.assert_allclose(means, [block.mean() for block in blocks], rtol=1e-5, atol=1e-6)
    back = np.array(boxes.from_columns(tf.constant(columns), box, shape))
    whole = tuple(slice(n // size * size) for n, size in zip(shape, box))
    np.testing.assert_array_equal(back[whole], x[whole])
    assert back.shape == shape and np.count_nonzero(back) == columns.size


@pytest.mark.parametrize("levels", [1, 3, 2**30])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_largest_are_found_without_sorting_and_the_first_of_equals_stay(size, levels):
    scores = np.random.default_rng(0).integers(0, levels, (size, 50)).astype("float32") * np.float32(1e-20)
    for count in {1, (size + 1) // 2, size}:
        chosen = np.array(boxes.largest_of_columns(tf.constant(scores), tf.constant(count)))
        order = np.argsort(-scores, axis=0, kind="stable")[:count]
        expected = np.zeros(scores.shape, bool)
        np.put_along_axis(expected, order, True, axis=0)
        np.testing.assert_array_equal(chosen, expected)
