import pytest

from tflite_export.npu.loops import Loops


def test_macs_of_a_grouped_convolution():
    layer = Loops(8, 8, 4, 4, in_channels=3, out_channels=5, batch=2, groups=7, kernel_h=3, kernel_w=3)
    assert (layer.m, layer.k, layer.n) == (32, 27, 5)
    assert layer.macs == 7 * 32 * 27 * 5


def test_output_bytes_round_up_to_whole_bytes():
    assert Loops(1, 3, 1, 3, in_channels=1, out_channels=1, out_bits=4).out_bytes == 2


def test_an_empty_loop_is_refused():
    with pytest.raises(ValueError, match=r"`kernel_h` of a convolution or pool must be at least 1. Received: 0"):
        Loops(1, 1, 1, 1, 1, 1, kernel_h=0)


def test_widths_are_those_of_storage_unless_the_values_need_less():
    assert Loops(1, 1, 1, 1, 1, 1, weight_bits=4, in_bits=16).widths == (4, 16)
    assert Loops(1, 1, 1, 1, 1, 1, weight_width=3, in_width=7).widths == (3, 7)
