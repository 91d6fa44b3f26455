"""Estimates with data: what zeros of real feature maps and closed gates save, sample by sample."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.npu import estimate, load
from tflite_export.npu.result import CYCLES

from .graphs import Net

CHIP = load("balanced-16x16")
MEMORY = replace(CHIP.memory, dram_bytes_per_cycle=1e6, dram_latency_cycles=0, sram_bytes_per_cycle=1e6)
SKIPPING = replace(CHIP, activation_zeros="skipped", memory=MEMORY, decoder=None)
GATING = replace(CHIP, activation_zeros="gated", memory=MEMORY, decoder=None)
BLIND = replace(CHIP, activation_zeros="charged", memory=MEMORY, decoder=None)


def net():
    """1 x 1 convolution of two positions, 16 channels to 16 filters."""
    return Net(1, 1, 2, 16).conv(16, kernel=1, weights=np.ones((16, 1, 1, 16), np.int8), name="c").graph()


def some_zeros(*counts):
    """One sample a number: as many channels of the first position are zero; all of the second are."""
    data = np.zeros((len(counts), 1, 2, 16), np.int8)
    for sample, zeros in zip(data, counts):
        sample[0, 0, zeros:] = 1
    return data


def test_each_sample_takes_the_time_of_its_own_zeros():
    row = estimate(net(), SKIPPING, some_zeros(0, 8, 12, 16)).rows[0]
    cycles = np.array([16, 8, 4, 0])
    stall = row["cycles_memory_stall"]
    assert row["cycles_total"] - stall == cycles.mean()
    assert (row["cycles_p50"], row["cycles_p95"], row["cycles_max"]) == (4 + stall, 16 + stall, 16 + stall)
    assert row["macs_executed"] == 16 * cycles.mean()
    assert sum(row[part] for part in CYCLES) == row["cycles_total"]
    assert (row["activation_count"], row["activation_zeros"]) == (4 * 32, 4 * 16 + 8 + 12 + 16)


def test_totals_are_of_whole_samples():
    two = Net(1, 1, 2, 16).conv(16, kernel=1, weights=np.ones((16, 1, 1, 16))).conv(1, kernel=1)
    found = estimate(two.graph(), SKIPPING, some_zeros(0, 8))
    each = [estimate(two.graph(), SKIPPING, some_zeros(zeros)).totals["cycles_total"] for zeros in (0, 8)]
    assert each[0] > each[1]
    assert [found.totals[f"cycles_{name}"] for name in ("p50", "p95", "max")] == [each[1], each[0], each[0]]
    assert found.totals["cycles_total"] == sum(row["cycles_total"] for row in found.rows)


def test_gated_zeros_save_energy_and_no_time():
    blind, seen = estimate(net(), GATING), estimate(net(), GATING, some_zeros(8))
    assert seen.totals["cycles_total"] == blind.totals["cycles_total"]
    assert seen.rows[0]["energy_mac_pj"] == pytest.approx(blind.rows[0]["energy_mac_pj"] / 4)
    assert seen.rows[0]["macs_executed"] == blind.rows[0]["macs_executed"]


def test_a_systolic_array_may_gate_too():
    gating = replace(load("systolic-16-os"), weight_zeros="gated", activation_zeros="gated")
    found = estimate(net(), gating, some_zeros(8)).totals
    plain = estimate(net(), "systolic-16-os", some_zeros(8)).totals
    assert found["energy_mac_pj"] == pytest.approx(plain["energy_mac_pj"] / 4)
    assert found["cycles_total"] == plain["cycles_total"]


def test_a_machine_that_charges_zeros_says_nothing_of_samples():
    found = estimate(net(), "systolic-16-os", some_zeros(0, 8))
    assert "cycles_p50" not in found.totals
    assert "samples:" not in str(found)


def test_the_text_says_how_samples_differ():
    assert "2 samples: " in str(estimate(net(), SKIPPING, some_zeros(0, 8)))


def gated_net():
    """A convolution of 8 filters, each of which a second input switches on or off, and a convolution behind it."""
    grid = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))

    def tensor(name, shape, data=None, dtype="int8"):
        return Tensor(name, shape, dtype, grid, data)

    tensors = (
        tensor("x", (1, 4, 4, 8)),
        tensor("gate", (1, 1, 1, 8)),
        tensor("kernel", (8, 3, 3, 8), np.ones((8, 3, 3, 8), np.int8)),
        tensor("bias", (8,), np.zeros(8, np.int32), "int32"),
        tensor("conv", (1, 4, 4, 8)),
        tensor("switched", (1, 4, 4, 8)),
        tensor("second", (1, 4, 4, 8)),
    )
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE"}
    options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
    ops = (
        Op("CONV_2D", (0, 2, 3), (4,), options),
        Op("MUL", (4, 1), (5,), {"fused_activation_function": "NONE"}),
        Op("CONV_2D", (5, 2, 3), (6,), options),
    )
    return Graph(tensors, ops, (0, 1), (6,))


def test_channels_that_gates_switch_off_are_not_computed():
    assert BLIND.channel_gates == "skipped"
    gates = np.zeros((2, 1, 1, 8), np.int8)
    gates[0, ..., :4], gates[1, ..., :2] = 1, 1
    found = estimate(gated_net(), BLIND, [np.ones((2, 4, 4, 8), np.int8), gates])
    macs = 16 * 9 * 8 * 8
    first, _, second = found.rows
    assert first["macs"] == second["macs"] == macs
    assert first["macs_executed"] == second["macs_executed"] == macs * (4 + 2) / 2 / 8
    assert second["cycles_p50"] < second["cycles_max"]
    static = estimate(gated_net(), BLIND).rows
    assert second["cycles_total"] < static[2]["cycles_total"]
    assert first["weight_moved_bytes"] < 0.5 * static[0]["weight_moved_bytes"]
    assert first["weight_count"] == static[0]["weight_count"]


def test_gates_save_nothing_on_a_machine_that_does_not_know_them():
    gates = np.zeros((1, 1, 1, 8), np.int8)
    data = [np.ones((1, 4, 4, 8), np.int8), gates]
    found = estimate(gated_net(), "ethos-u55-128-like", data)
    assert found.totals["cycles_total"] == estimate(gated_net(), "ethos-u55-128-like").totals["cycles_total"]


def test_a_layer_that_is_switched_off_altogether_costs_nothing():
    data = [np.ones((1, 4, 4, 8), np.int8), np.zeros((1, 1, 1, 8), np.int8)]
    assert estimate(gated_net(), BLIND, data).rows[0]["cycles_total"] == 0
