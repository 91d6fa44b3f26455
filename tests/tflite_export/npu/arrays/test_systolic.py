"""The closed forms against what SCALE-Sim 3.0 counts on dense layers (compute cycles, without prefetch)."""

import pytest

from tflite_export.npu import estimate
from tflite_export.npu.arrays import Systolic
from tflite_export.npu.loops import Loops

from ..graphs import compute, mobilenet, small

SCALE_SIM_SMALL = {
    "systolic-16-os": [22_271, 20_351, 38_783, 19_391, 5_055, 157],
    "systolic-16-ws": [19_259, 21_743, 43_487, 31_679, 7_039, 375],
}
SCALE_SIM_MOBILENET = {"systolic-16-os": (297_783, 242_120), "systolic-16-ws": (210_567, 144_504)}


@pytest.mark.parametrize("machine", SCALE_SIM_SMALL)
def test_every_layer_of_the_small_net_equals_scale_sim(machine):
    rows = [row for row in estimate(small(), machine).rows if row["op"] != "MEAN"]
    assert [compute(row) for row in rows] == SCALE_SIM_SMALL[machine]


@pytest.mark.parametrize("machine", SCALE_SIM_MOBILENET)
def test_mobilenet_equals_scale_sim_with_depthwise_layers_one_channel_at_a_time(machine):
    rows = [row for row in estimate(mobilenet(0.25, 96), machine).rows if row["op"] != "MEAN"]
    depthwise = [compute(row) for row in rows if row["op"] == "DEPTHWISE_CONV_2D"]
    assert (sum(map(compute, rows)), sum(depthwise)) == SCALE_SIM_MOBILENET[machine]


def test_the_shipped_example_of_scale_sim_takes_77111_cycles_weight_stationary():
    layer = Loops(in_h=7, in_w=7, out_h=5, out_w=5, in_channels=192, out_channels=384, kernel_h=3, kernel_w=3)
    work = Systolic("weight_stationary", 32, 32, 8).convolution(layer, weight_bytes=0)
    assert work.cycles == 77_111
    assert layer.macs / (32 * 32 * work.cycles) == pytest.approx(0.210, abs=5e-4)


def test_cycles_of_a_hand_computed_layer_split_by_cause():
    # M = 5, K = 3, N = 2 on 4 x 4: two folds of K = 3 steps and 4 + 4 - 2 of skew, less one
    layer = Loops(in_h=1, in_w=5, out_h=1, out_w=5, in_channels=3, out_channels=2)
    work = Systolic("output_stationary", 4, 4, 8).convolution(layer, weight_bytes=6)
    assert (work.useful, work.edge, work.fill_drain) == (30 // 16, 6 - 30 // 16, 11)
    assert (work.sram_read_bytes, work.sram_write_bytes) == (15 + 2 * 6, 10)


def test_partial_sums_of_a_weight_stationary_array_leave_and_return():
    # K = 8 on four rows: two folds, so each of the 5 x 2 sums is stored and read back once, 4 bytes each
    layer = Loops(in_h=1, in_w=5, out_h=1, out_w=5, in_channels=8, out_channels=2)
    work = Systolic("weight_stationary", 4, 4, 8).convolution(layer, weight_bytes=16)
    assert (work.sram_read_bytes, work.sram_write_bytes) == (40 + 16 + 40, 10 + 40)


@pytest.mark.parametrize("dataflow", ["output_stationary", "weight_stationary"])
def test_sixteen_bit_inputs_take_two_cycles_a_step(dataflow):
    array = Systolic(dataflow, 4, 4, 8)
    narrow = array.convolution(Loops(1, 64, 1, 64, 32, 32), weight_bytes=0)
    wide = array.convolution(Loops(1, 64, 1, 64, 32, 32, in_bits=16), weight_bytes=0)
    assert wide.useful == 2 * narrow.useful
    assert wide.fill_drain == narrow.fill_drain


@pytest.mark.parametrize("dataflow", ["output_stationary", "weight_stationary"])
def test_one_cell_is_never_more_than_fully_used(dataflow):
    layer = Loops(1, 1, 1, 1, 1, 1)
    work = Systolic(dataflow, 1, 1, 8).convolution(layer, weight_bytes=1)
    assert work.cycles >= layer.macs
