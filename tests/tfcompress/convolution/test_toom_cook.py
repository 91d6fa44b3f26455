"""Generated algorithms against the correlation itself, in exact numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcompress.convolution.toom_cook import Tiles, along_axes, generate, integers, signed_bits, widths


def direct(inputs, kernel):
    """The correlation without padding, along all axes."""
    inputs, kernel = np.array(inputs, object), np.array(kernel, object)
    windows = np.lib.stride_tricks.sliding_window_view(inputs, kernel.shape)
    return (windows * kernel).sum(axis=tuple(range(kernel.ndim, 2 * kernel.ndim)))


rationals = st.fractions(min_value=-6, max_value=6, max_denominator=7)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 7), st.integers(1, 6))
def test_any_distinct_rational_points_give_the_correlation_exactly(data, m, r):
    points = data.draw(st.lists(rationals, min_size=m + r - 2, max_size=m + r - 2, unique=True))
    algorithm = generate(m, r, points)
    inputs = data.draw(st.lists(rationals, min_size=m + r - 1, max_size=m + r - 1))
    kernel = data.draw(st.lists(rationals, min_size=r, max_size=r))
    assert algorithm(inputs, kernel).tolist() == direct(inputs, kernel).tolist()
    assert algorithm.multiplications == m + r - 1 == len(algorithm.inputs) == len(algorithm.kernel)


@pytest.mark.parametrize("m", range(1, 9))
@pytest.mark.parametrize("r", [1, 2, 3, 5, 7])
def test_the_usual_points_serve_every_size_and_nest_to_images(m, r):
    rng, algorithm = np.random.default_rng(m * r), generate(m, r)
    for axes in (1, 2):
        inputs = rng.integers(-128, 128, [m + r - 1] * axes)
        kernel = rng.integers(-127, 128, [r] * axes)
        assert np.array_equal(algorithm(inputs, kernel), direct(inputs, kernel))


def test_an_image_needs_not_be_square():
    rng, (high, wide) = np.random.default_rng(0), (generate(2, 3), generate(4, 5))
    inputs, kernel = rng.integers(-9, 9, (4, 8)).astype(object), rng.integers(-9, 9, (3, 5)).astype(object)

    def both(matrices, x):
        first, second = (np.array(matrix, object) for matrix in matrices)
        return first @ x @ second.T

    product = both((high.kernel, wide.kernel), kernel) * both((high.inputs, wide.inputs), inputs)
    assert np.array_equal(both((high.outputs, wide.outputs), product), direct(inputs, kernel))


def test_f_2_3_is_the_known_one_up_to_the_scale_of_rows():
    """Lavin and Gray, equation 6."""
    known = {
        "inputs": [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        "kernel": [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
    }
    algorithm = generate(2, 3)
    for name, rows in known.items():
        for ours, theirs in zip(np.array(getattr(algorithm, name), float), rows, strict=True):
            assert np.linalg.matrix_rank(np.stack([ours, theirs])) == 1
    ours, theirs = np.array(algorithm.outputs, float), np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    assert np.array_equal(np.abs(ours), np.abs(theirs))


TABLE = [
    # m, r, points, multiplications, direct, scale, bits of weights and inputs, channels for 32 bits
    (2, 3, (0, 1, -1), 16, 36, 4, 12, 11, 3669),
    (3, 3, (0, 1, -1, 2), 25, 81, 36, 15, 14, 407),
    (4, 3, (0, 1, -1, 2, -2), 36, 144, 576, 18, 15, 25),
    (4, 3, (0, 1, -1, "1/2", -2), 36, 144, 57600, 18, 16, 0),
    (2, 5, (0, 1, -1, 2, -2), 36, 100, 576, 18, 15, 9),
    (6, 3, (0, 1, -1, 2, -2, 0.5, -0.5), 64, 324, 132710400, 22, 20, 0),
    (3, 2, (0, 1, -1), 16, 36, 4, 10, 11, 8256),
]


@pytest.mark.parametrize("row", TABLE)
def test_what_eight_bits_grow_to(row):
    m, r, points, *expected = row
    algorithm = generate(m, r, points)
    assert list(widths(algorithm)) == expected
    whole, rng = integers(algorithm), np.random.default_rng(0)
    inputs, kernel = rng.integers(-128, 128, [m + r - 1] * 2), rng.integers(-127, 128, [r] * 2)
    u, v = along_axes(whole.kernel, kernel), along_axes(whole.inputs, inputs)
    assert np.array_equal(along_axes(whole.outputs, u * v), whole.scale**2 * direct(inputs, kernel))
    for matrix, largest, bits in ((whole.kernel, 127, expected[3]), (whole.inputs, 128, expected[4])):
        worst = largest * np.sign(matrix[np.abs(matrix).sum(1).argmax()])  # the inputs that a row is largest for
        reached = np.abs(along_axes(matrix, np.outer(worst, np.sign(worst)))).max()
        assert signed_bits(int(reached)) == bits


def in_int32(inputs, kernel, whole):
    """The image of one tile and many channels, in int32 that wraps around."""
    with np.errstate(over="ignore"):
        matrices = [m.astype(np.int32) for m in (whole.kernel, whole.inputs, whole.outputs)]
        u, v = (np.einsum("pi,qj,cij->cpq", m, m, x.astype(np.int32)) for m, x in zip(matrices, (kernel, inputs)))
        return np.einsum("ap,bq,pq->ab", matrices[2], matrices[2], (u * v).sum(0, dtype=np.int32))


@pytest.mark.parametrize("row", [row for row in TABLE if row[-1] > 0])
def test_as_many_channels_fit_into_32_bits_as_the_table_says_and_not_one_more(row):
    m, r, points, *_, channels = row
    whole = integers(generate(m, r, points))
    for count, fits in ((channels, True), (channels + 1, False)):
        inputs, kernel = np.full((count, m + r - 1, m + r - 1), -128), np.full((count, r, r), -127)
        found, true = in_int32(inputs, kernel, whole), 128 * 127 * r * r * count
        assert np.all(found == whole.scale**2 * true) == fits


def test_sums_may_wrap_around_on_the_way():
    whole, rng = integers(generate(4, 3)), np.random.default_rng(0)
    inputs, kernel = rng.integers(-128, 128, (400, 6, 6)), rng.integers(-128, 128, (400, 3, 3))
    true = sum(direct(d, g) for d, g in zip(inputs, kernel)).astype(np.int64)
    products = sum(along_axes(whole.kernel, g) * along_axes(whole.inputs, d) for d, g in zip(inputs, kernel))
    assert np.abs(products).max() > 2**31 > whole.scale**2 * np.abs(true).max()
    assert np.array_equal(in_int32(inputs, kernel, whole), whole.scale**2 * true)


def test_wider_inputs_and_accumulators_count():
    algorithm = generate(2, 3)
    assert widths(algorithm, axes=1)[:3] == (4, 6, 2)
    assert widths(algorithm, accumulator_bits=64).channels == (2**63 - 1) // (4 * 9 * 128 * 127)
    assert widths(algorithm, input_bits=4, weight_bits=4)[3:5] == (signed_bits(7 * 9), signed_bits(8 * 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "`m` and `r` must be at least 1. Received: m=0, r=3"),
        ((2, 0), "`m` and `r` must be at least 1. Received: m=2, r=0"),
        ((2, 3, [0, 1, 1]), r"F\(2, 3\) needs 3 distinct finite points. Received: 3, \(0, 1, 1\)"),
        ((2, 3, [0, "1/2", 0.5]), "needs 3 distinct finite points"),
        ((2, 3, [0, 1]), r"needs 3 distinct finite points. Received: 2, \(0, 1\)"),
    ],
)
def test_points_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(*arguments)


def test_tiles_leave_an_axis_of_length_one_alone():
    assert [Tiles(4)(r).m for r in (1, 2, 3)] == [1, 4, 4]
    assert Tiles(4)(1).scale == 1 and Tiles(2, [0, 1, "-1/2"])(3).scale > 1
    assert generate(2, 3).points == (Fraction(0), Fraction(1), Fraction(-1))
