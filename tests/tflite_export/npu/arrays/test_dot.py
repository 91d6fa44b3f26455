"""The dot engine against cycles of Arm's Vela 5.2.0 (another model, not hardware), NPU column, Sram_Only."""

from dataclasses import replace
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export.npu import estimate, load
from tflite_export.npu.loops import Loops

from ..graphs import Net, compute, mobilenet, small

VELA_256_LEGACY = [25_924, 19_540, 38_384, 20_048, 5_120, 340]
VELA_256_REGOR = [26_574, 21_012, 39_200, 21_248, 5_952, 393]
VELA_256_MOBILENET = {"legacy": 116_754, "regor": 126_467}
GATE = (0.85, 1.25)


@pytest.fixture(scope="module")
def engine():
    return load("ethos-u55-256-like").array


def cycles(graph):
    return [compute(row) for row in estimate(graph, "ethos-u55-256-like").rows if row["op"] != "MEAN"]


def test_a_layer_takes_the_closed_form_and_what_its_block_does_not_hide(engine):
    # 8 x 8 positions of 128 channels from 128, in blocks of 8 x 8 x 64: 16 places, 4 passes over channels, 16 columns;
    # the results of the last block leave at 4 a cycle, the first 32 channels arrive and 64 are stored at 8 B a cycle
    array, last, head, tail = 4 * 16 * 4 * 16, 8 * 8 * 64 // 4, 32 + 8 * 8 * 32 // 8, 32 + 8 * 8 * 64 // 8
    work = engine.convolution(Loops(8, 8, 8, 8, in_channels=128, out_channels=128), weight_bytes=128 * 128)
    assert work.cycles == array + last + head + tail == VELA_256_REGOR[4]
    assert (work.useful + work.edge, work.fill_drain) == (array, last + head + tail)


def ranks(values):
    return np.searchsorted(np.sort(values), values)


@pytest.mark.parametrize("vela", [VELA_256_LEGACY, VELA_256_REGOR])
def test_the_small_net_is_within_the_gate_of_vela(vela):
    ours = cycles(small())
    assert GATE[0] <= sum(vela) / sum(ours) <= GATE[1]
    assert np.corrcoef(ranks(vela), ranks(ours))[0, 1] >= 0.9


@pytest.mark.parametrize("core", VELA_256_MOBILENET)
def test_a_quarter_mobilenet_is_within_the_gate_of_vela(core):
    ratio = VELA_256_MOBILENET[core] / sum(cycles(mobilenet(0.25, 96)))
    assert GATE[0] <= ratio <= GATE[1]


def test_a_first_layer_of_three_channels_waits_for_whole_words_of_sram():
    # Vela charges 20,664 cycles of SRAM for this layer, whose pixels of 3 bytes are fetched in words of 16
    row = estimate(Net(1, 96, 96, 3).conv(8, stride=2).graph(), "ethos-u55-256-like").rows[0]
    assert row["cycles_total"] == pytest.approx(20_664, rel=0.1)
    assert row["cycles_memory_stall"] > compute(row) / 2


def array_cycles(work):
    """Without what is left over at both ends."""
    return work.useful + work.edge + work.decode


def test_the_decoder_bounds_a_matrix_product_of_one_row(engine):
    # 8 weights a cycle: 128 x 16 weights take 256 cycles, and no cell has more than one of them to wait for
    work = engine.convolution(Loops(1, 1, 1, 1, in_channels=128, out_channels=16), weight_bytes=2048)
    assert array_cycles(work) == 128 * 16 // 8
    assert work.decode == 256 - 4 * 4 * 2


def test_the_output_unit_bounds_a_short_sum(engine):
    # 16 channels of 16 x 16 positions leave at 4 a cycle; the array needs half of that
    work = engine.convolution(Loops(16, 16, 16, 16, in_channels=3, out_channels=16), weight_bytes=48)
    ends = work.cycles - 16 * 16 * 16 // 4
    assert work.useful + work.edge == 16 * 16 * 16 // 8
    assert 2 * 32 < ends < 500


def test_depthwise_layers_use_an_eighth_of_the_array_at_most(engine):
    layer = Loops(32, 32, 32, 32, 1, 1, groups=64, kernel_h=4, kernel_w=4)
    work = engine.depthwise(layer, weight_bytes=1024)
    assert array_cycles(work) == 8 * layer.macs // engine.macs_per_cycle


def test_sram_reads_are_those_of_the_block_that_reads_least(engine):
    # all of an 8 x 8 map fits: its 64 channels in, and each weight, once
    layer = Loops(8, 8, 8, 8, in_channels=64, out_channels=64)
    assert engine.convolution(layer, weight_bytes=4096).sram_read_bytes == 64 * 64 + 4096


def test_a_small_buffer_makes_small_blocks_which_read_more(engine):
    layer = Loops(32, 32, 32, 32, 64, 64, kernel_h=3, kernel_w=3)
    large, small = (
        replace(engine, buffer_bytes=size).convolution(layer, weight_bytes=36_864) for size in (1 << 20, 4096)
    )
    assert small.sram_read_bytes > 4 * large.sram_read_bytes
    assert small.cycles + small.port_wait > large.cycles + large.port_wait


def test_a_narrow_port_makes_the_array_wait_which_is_no_cycle_of_its_own(engine):
    layer = Loops(32, 32, 32, 32, 64, 64)
    narrow = replace(engine, port_bytes=1).convolution(layer, weight_bytes=4096)
    assert narrow.cycles + narrow.port_wait >= narrow.sram_read_bytes + narrow.sram_write_bytes
    assert narrow.port_wait > narrow.cycles
    assert engine.convolution(layer, weight_bytes=4096).port_wait < engine.convolution(layer, weight_bytes=4096).cycles


extents = st.tuples(*(st.integers(1, top) for top in (30, 30, 70, 150)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    few=extents,
    more=st.tuples(*[st.sampled_from([0, 0, 1, 7])] * 4),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 3),
    buffer=st.sampled_from([100, 2000, 14_336, 45_056]),
    depthwise=st.booleans(),
)
def test_a_larger_layer_is_never_faster_and_never_reads_less(engine, few, more, kernel, stride, buffer, depthwise):
    def work(extents):
        height, width, channels, filters = extents
        each = (1, 1, 1, filters) if depthwise else (channels, filters, 1, 1)
        layer = Loops(height * stride, width * stride, height, width, *each, kernel, kernel, stride, stride)
        run = chip.depthwise if depthwise else chip.convolution
        return run(layer, layer.filters * layer.k)

    chip = replace(engine, buffer_bytes=buffer)
    small, large = work(few), work(tuple(map(add, few, more)))
    assert small.cycles + small.port_wait <= large.cycles + large.port_wait
    assert small.sram_read_bytes <= large.sram_read_bytes
    assert all(type(number) is int and number >= 0 for name, number in vars(large).items() if name != "loads")
