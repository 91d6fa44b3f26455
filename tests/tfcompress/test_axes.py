import pytest

from tfcompress.axes import as_axes, other_axes, slice_shape


def test_axes_are_a_tuple_and_none_stays_none():
    assert (as_axes(None), as_axes(-1), as_axes([0, -1]), as_axes(())) == (None, (-1,), (0, -1), ())


def test_other_axes_are_those_along_which_a_slice_extends():
    assert other_axes(4, (-2, -1)) == (0, 1)
    assert other_axes(3, (1,)) == (0, 2)
    assert other_axes(2, None) == (0, 1)


def test_one_number_per_slice_broadcasts_to_the_tensor():
    assert slice_shape((3, 3, 16, 32), (-1,), "t") == (1, 1, 1, 32)
    assert slice_shape((None, 8, 8, 4), (), "t") == (1, 1, 1, 1)
    assert slice_shape((None, 8, 8, 4), (3,), "t") == (1, 1, 1, 4)
    assert slice_shape((5,), None, "t") == (1,)


@pytest.mark.parametrize("axis", [(0,), (4,), (-5,)])
def test_an_axis_that_is_missing_or_varies_is_refused(axis):
    with pytest.raises(ValueError, match=r"'mine'.*Received: axis=.*Use axis=\(\)"):
        slice_shape((None, 8, 8, 4), axis, "mine")
