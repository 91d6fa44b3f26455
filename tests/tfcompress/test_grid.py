import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcompress.grid import Grid


@pytest.mark.parametrize(
    ("grid", "limits"),
    [
        (Grid(bits=8), (-128, 127)),
        (Grid(bits=8, narrow_range=True), (-127, 127)),
        (Grid(bits=4, signed=False), (0, 15)),
        (Grid(bits=2, narrow_range=True), (-1, 1)),
        (Grid(bits=4, values=np.array([-1.0, 0.0, 1.0])), (0, 2)),
    ],
)
def test_limits_of_the_codes(grid, limits):
    assert (grid.low, grid.high) == limits


def test_affine_codes_match_those_computed_by_hand():
    grid = Grid(scale=0.5, bits=4, zero_point=1)
    codes = grid.encode([-9.0, -0.5, 0.0, 0.26, 0.74, 1.0, 9.0])
    np.testing.assert_array_equal(codes, [-8, 0, 1, 2, 2, 3, 7])
    np.testing.assert_array_equal(grid.decode(codes), [-4.5, -0.5, 0.0, 0.5, 0.5, 1.0, 3.0])
    assert codes.dtype == np.int32 and grid.decode(codes).dtype == np.float32


def test_scale_runs_along_an_axis():
    grid = Grid(scale=np.array([[1.0, 0.1]], np.float32), bits=4)
    np.testing.assert_array_equal(grid.encode([[3.0, 0.3], [-2.0, -0.2]]), [[3, 3], [-2, -2]])


def test_codebook_takes_the_nearest_entry():
    grid = Grid(bits=2, values=np.array([-1.0, 0.0, 0.25, 4.0], np.float32))
    codes = grid.encode([[-3.0, -0.4], [0.2, 2.2]])
    np.testing.assert_array_equal(codes, [[0, 1], [2, 3]])
    np.testing.assert_array_equal(grid.decode(codes), [[-1.0, 0.0], [0.25, 4.0]])


@settings(max_examples=200, deadline=None)
@given(
    bits=st.integers(2, 16),
    scale=st.floats(2.0**-100, 2.0**100, width=32),
    zero_point=st.integers(-128, 127),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_values_on_the_grid_come_back_bit_for_bit(bits, scale, zero_point, signed, seed):
    grid = Grid(np.float32(scale), bits, zero_point, signed)
    codes = np.random.default_rng(seed).integers(grid.low, grid.high, 64, endpoint=True)
    values = grid.decode(codes)
    np.testing.assert_array_equal(grid.encode(values), codes)
    assert grid.decode(grid.encode(values)).tobytes() == values.tobytes()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=16, unique=True))
def test_entries_of_a_codebook_come_back_bit_for_bit(entries):
    grid = Grid(bits=4, values=np.sort(np.array(entries, np.float32)))
    np.testing.assert_array_equal(grid.decode(grid.encode(grid.values)), grid.values)


def test_slices_may_have_codebooks_of_their_own():
    values = np.float32([[[-1, 0, 2]], [[1, 4, 4]]])  # (2, 1, 3): one for each row
    grid = Grid(bits=2, values=values)
    y = np.float32([[-1, 2, 0], [4, 1, 1]])
    np.testing.assert_array_equal(grid.encode(y), [[0, 2, 1], [1, 0, 0]])
    np.testing.assert_array_equal(grid.decode(grid.encode(y)), y)
    assert grid.high == 2
