"""What halves save on machines that are bound by one thing only, known from their formulas."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_export.npu import estimate, load, machines
from tflite_export.npu.halves import HALVES, parts

from .graphs import Net, small

CYCLES = "cycles_total"


def machine(name, **memory):
    """A shipped machine with another memory."""
    chip = load(name)
    return replace(chip, memory=replace(chip.memory, **memory))


FAST = {"dram_bytes_per_cycle": 1e9, "dram_latency_cycles": 0, "sram_bytes_per_cycle": 1e9}
SLOW = {"dram_bytes_per_cycle": 0.01, "dram_latency_cycles": 0}


def conv(channels=64, filters=64):
    return Net(1, 16, 16, channels).conv(filters, name="c").graph()


def savings(graph, chip, quantity=CYCLES):
    return parts(graph, chip, lambda row: row[quantity])[0].savings


@pytest.mark.parametrize("name", machines())
def test_costs_are_those_of_the_estimate_and_savings_are_shares(name):
    graph = small(density=0.5)
    found = parts(graph, load(name), lambda row: row[CYCLES])
    assert [part.cost for part in found] == [row[CYCLES] for row in estimate(graph, name).rows]
    assert all(0 <= saving <= 1 for part in found for saving in part.savings.values())
    assert [bool(part.savings) for part in found] == [True] * 5 + [False, True]
    assert found[0].kernel.startswith("kernel")


def test_where_cycles_follow_the_bits_all_four_save_what_goes():
    assert savings(conv(), machine("bit-serial", **FAST)) == pytest.approx(dict.fromkeys(HALVES, 1.0), abs=0.01)
    bricks = savings(conv(), machine("bricks-16x16", **FAST))
    assert 0.9 < bricks["weight_bits"] == bricks["input_bits"] < 1  # rows and columns fill and drain


def test_where_memory_is_slow_weights_save_and_inputs_do_not():
    found = savings(conv(), machine("bit-serial", **SLOW))
    assert found["weight_bits"] > 0.95 and found["kept_inputs"] > 0.95 and found["kept_outputs"] > 0.95
    assert found["input_bits"] == 0


def test_where_all_widths_take_the_same_time_only_channels_save():
    found = savings(conv(), machine("systolic-16-os", **FAST))
    assert found["weight_bits"] == found["input_bits"] == 0
    assert found["kept_inputs"] > 0.9 and found["kept_outputs"] == 1


def test_channels_that_empty_no_column_save_nothing():
    assert savings(conv(filters=16), machine("bit-serial", **FAST))["kept_outputs"] == 0
    assert savings(conv(channels=1), machine("bit-serial", **FAST))["kept_inputs"] == 0


def test_entropy_coded_weights_save_although_multipliers_are_wide():
    found = savings(conv(), machine("ethos-u55-128-like", **SLOW))
    assert found["weight_bits"] > 0.8 and found["input_bits"] == 0


def test_widths_that_bricks_cannot_use_save_nothing():
    graph = Net(1, 16, 16, 64).conv(64, weights=np.random.default_rng(0).integers(-1, 2, (64, 3, 3, 64))).graph()
    assert savings(graph, machine("bricks-16x16", **FAST))["weight_bits"] == 0


@pytest.mark.parametrize("net", [
    Net(1, 8, 8, 32).depthwise(),
    Net(1, 8, 8, 32).conv(64, groups=4),
    Net(4, 128).dense(48),
])  # fmt: skip
def test_grouped_depthwise_and_dense_layers_have_half_their_channels_too(net):
    found = savings(net.graph(), machine("bit-serial", **FAST), "macs")
    assert found["kept_inputs"] == 1 and found["kept_outputs"] == (net.ops[0].kind != "DEPTHWISE_CONV_2D")


def test_a_dense_layer_that_reads_an_image_loses_channels_at_every_position():
    net = Net(1, 4, 4, 32)
    operands = net.constant("kernel", (10, 512)), net.constant("bias", (10,), "int32")
    net.op("FULLY_CONNECTED", (1, 10), *operands)
    assert savings(net.graph(), machine("bit-serial", **FAST), "macs")["kept_inputs"] == 1


def test_energy_has_savings_of_its_own():
    """The energy of products falls with their widths where the time does not."""
    energy = savings(conv(), machine("bit-serial", **SLOW), "energy_mac_pj")
    cycles = savings(conv(), machine("bit-serial", **SLOW))
    assert energy["input_bits"] > 0.5 > cycles["input_bits"]
