from dataclasses import replace

import pytest

from tflite_export.npu import load
from tflite_export.npu.loops import Loops
from tflite_export.npu.tiling import tile_traffic


def memory(sram_bytes, burst=1):
    return replace(load("systolic-16-os").memory, sram_bytes=sram_bytes, dram_burst_bytes=burst)


def test_everything_moves_once_if_it_fits_with_both_buffers():
    layer = Loops(8, 8, 8, 8, in_channels=16, out_channels=32)
    moved = tile_traffic(layer, weight_bytes=512, memory=memory(2**20))
    assert (moved.input_bytes, moved.weight_bytes, moved.output_bytes, moved.spill_bytes) == (1024, 512, 2048, 0)


def test_weights_stay_while_a_long_input_streams_past():
    # half of the weights fit beside their double buffer: they travel once, the input twice
    layer = Loops(1, 4096, 1, 4096, in_channels=64, out_channels=512)
    moved = tile_traffic(layer, 64 * 512, memory(40_000))
    assert (moved.order, moved.tile[3]) == ("weight_outer", 256)
    assert (moved.weight_bytes, moved.input_bytes) == (64 * 512, 2 * 4096 * 64)


def test_the_input_stays_while_large_weights_stream_past():
    layer = Loops(1, 64, 1, 64, in_channels=256, out_channels=4096)
    moved = tile_traffic(layer, 256 * 4096, memory(40_000))
    assert moved.order == "input_outer"
    assert (moved.weight_bytes, moved.input_bytes) == (256 * 4096, 64 * 256)


def test_a_tile_obeys_the_sram():
    layer = Loops(32, 32, 32, 32, in_channels=32, out_channels=64, kernel_h=3, kernel_w=3)
    th, tw, tk, tn = tile_traffic(layer, 9 * 32 * 64, memory(20_000)).tile
    assert 2 * ((th + 2) * (tw + 2) * tk + 9 * tk * tn + th * tw * tn) + 4 * th * tw * tn <= 20_000


def test_channels_cut_in_two_spill_partial_sums():
    layer = Loops(1, 1, 1, 1, in_channels=4096, out_channels=1)
    moved = tile_traffic(layer, 4096, memory(10_000))
    assert moved.tile[2] == 2048
    assert moved.spill_bytes == 4
    assert (moved.read_bytes, moved.write_bytes) == (4096 + 4096 + 4, 1 + 4)


def test_depthwise_channels_are_tiled_together():
    layer = Loops(16, 16, 16, 16, 1, 1, groups=256, kernel_h=3, kernel_w=3)
    moved = tile_traffic(layer, 9 * 256, memory(65_536, burst=64))
    assert moved.weight_bytes == 9 * 256
    assert moved.output_bytes == 16 * 16 * 256
    assert moved.input_bytes <= 1.5 * 16 * 16 * 256
    assert moved.tile[2] >= 64


def test_an_sram_without_room_for_one_tile_is_refused():
    with pytest.raises(ValueError, match=r"its smallest tile needs \d+ bytes of SRAM, the machine has 16"):
        tile_traffic(Loops(8, 8, 8, 8, 8, 8, kernel_h=3, kernel_w=3), 576, memory(16))
