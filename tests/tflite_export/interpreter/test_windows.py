import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp, windows
from tflite_export.ir import Op, Tensor


def slide(height, width, size, **options):
    op = Op("CONV_2D", (0,), (0,), {"stride_h": 1, "stride_w": 1, **options})
    return windows.windows(op, Tensor("x", (1, height, width, 2), "float32"), size)


def test_same_padding_puts_the_odd_row_behind():
    w = slide(5, 6, (3, 3), padding="SAME", stride_h=2, stride_w=2)
    assert (w.out, w.before, w.after) == ((3, 3), (1, 0), (1, 1))


def test_valid_padding_drops_windows_that_do_not_fit():
    w = slide(7, 6, (3, 2), padding="VALID", stride_h=2, dilation_w_factor=3)
    assert (w.out, w.before, w.after) == ((3, 3), (0, 0), (0, 0))


def test_padded_border_has_the_value_asked_for():
    padded = slide(1, 1, (3, 3), padding="SAME").pad(np.ones((1, 1, 1, 1), np.int8), -7)
    np.testing.assert_array_equal(padded[0, :, :, 0], [[-7, -7, -7], [-7, 1, -7], [-7, -7, -7]])


def test_blocks_hold_every_window_once_whatever_their_size(monkeypatch):
    w = slide(5, 4, (2, 3), padding="VALID", stride_w=1)
    x = np.arange(3 * 5 * 4 * 2).reshape(3, 5, 4, 2)
    expected = np.stack([x[:, i : i + 4, j : j + 2] for i in range(2) for j in range(3)], axis=-2)
    for block in (1, 30, 100, 10_000):
        monkeypatch.setattr(windows, "BLOCK", block)
        seen = np.zeros(expected.shape, np.float32)
        for images, rows, patches in w.blocks(x):
            seen[images, rows] += patches.reshape(seen[images, rows].shape)
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("options", [{"padding": "VALID"}, {"padding": "SAME", "stride_h": 0}])
def test_windows_that_cannot_be_are_refused_by_name(options):
    with pytest.raises(UnsupportedOp, match="'x'"):
        slide(2, 2, (3, 3), **options)


def test_only_feature_maps_have_windows():
    with pytest.raises(UnsupportedOp, match="batch, height, width, channels"):
        windows.windows(Op("CONV_2D", (0,), (0,)), Tensor("x", (3, 3), "float32"), (1, 1))


def test_windows_out_of_all_proportion_are_refused_before_memory_is_asked_for():
    with pytest.raises(UnsupportedOp, match="nothing but padding"):
        slide(5, 5, (3, 3), padding="SAME", dilation_h_factor=2**31 - 1)
