"""The dot engine against cycles of Arm's Vela 5.2.0 (another model, not hardware), NPU column, Sram_Only."""

import numpy as np
import pytest

from tflite_export.npu import estimate, load
from tflite_export.npu.loops import Loops

from ..graphs import Net, compute, mobilenet, small

VELA_256_LEGACY = [25_924, 19_540, 38_384, 20_048, 5_120, 340]
VELA_256_REGOR = [26_574, 21_012, 39_200, 21_248, 5_952, 393]
VELA_256_MOBILENET = {"legacy": 116_754, "regor": 126_467}
TINY_NET_GATE = (0.85, 1.4)


@pytest.fixture(scope="module")
def engine():
    return load("ethos-u55-256-like").array


def cycles(graph):
    return [compute(row) for row in estimate(graph, "ethos-u55-256-like").rows if row["op"] != "MEAN"]


def test_the_small_net_takes_the_closed_form():
    assert cycles(small()) == [24_576, 18_432, 36_864, 18_432, 4_096, 256]


def ranks(values):
    return np.searchsorted(np.sort(values), values)


@pytest.mark.parametrize("vela", [VELA_256_LEGACY, VELA_256_REGOR])
def test_the_small_net_is_within_the_gate_of_vela(vela):
    ours = cycles(small())
    assert TINY_NET_GATE[0] <= sum(vela) / sum(ours) <= TINY_NET_GATE[1]
    assert np.corrcoef(ranks(vela), ranks(ours))[0, 1] >= 0.9


@pytest.mark.parametrize("core", VELA_256_MOBILENET)
def test_a_quarter_mobilenet_is_within_the_gate_of_vela(core):
    ratio = VELA_256_MOBILENET[core] / sum(cycles(mobilenet(0.25, 96)))
    assert TINY_NET_GATE[0] <= ratio <= TINY_NET_GATE[1]
    assert ratio == pytest.approx({"legacy": 1.269, "regor": 1.375}[core], abs=1e-3)


def test_a_first_layer_of_three_channels_waits_for_whole_words_of_sram():
    # Vela charges 20,664 cycles of SRAM for this layer, whose pixels of 3 bytes are fetched in words of 16
    row = estimate(Net(1, 96, 96, 3).conv(8, stride=2).graph(), "ethos-u55-256-like").rows[0]
    assert row["cycles_total"] == pytest.approx(20_664, rel=0.02)
    assert row["cycles_memory_stall"] > compute(row) / 2


def test_the_decoder_bounds_a_matrix_product_of_one_row(engine):
    # 8 weights a cycle: 128 x 16 weights take 256 cycles, and no cell has more than one of them to wait for
    work = engine.convolution(Loops(1, 1, 1, 1, in_channels=128, out_channels=16), weight_bytes=2048)
    assert work.cycles == 128 * 16 // 8
    assert (work.decode, work.fill_drain) == (work.cycles - 4 * 4 * 2, 0)


def test_the_output_unit_bounds_a_short_sum(engine):
    # 8 channels of 16 x 16 positions leave at 4 a cycle
    work = engine.convolution(Loops(16, 16, 16, 16, in_channels=3, out_channels=8), weight_bytes=24)
    assert work.cycles == 16 * 16 * 8 // 4


def test_depthwise_layers_use_an_eighth_of_the_array_at_most(engine):
    layer = Loops(32, 32, 32, 32, 1, 1, groups=64, kernel_h=4, kernel_w=4)
    work = engine.depthwise(layer, weight_bytes=1024)
    assert work.cycles == 8 * layer.macs // engine.macs_per_cycle


def test_sram_reads_follow_the_best_accumulator_block(engine):
    # 3072 accumulators hold 48 positions of all 64 channels: input once, weights ceil(64 / 48) = 2 times
    layer = Loops(8, 8, 8, 8, in_channels=64, out_channels=64)
    assert engine.convolution(layer, weight_bytes=4096).sram_read_bytes == 4096 + 2 * 4096
