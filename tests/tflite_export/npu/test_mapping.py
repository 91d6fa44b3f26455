"""Cores share layers, and sums are as wide as the weights make them."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_export.npu import estimate, load

from .graphs import Net, compute, small


def row(net, machine):
    return estimate(net.graph(), machine).rows[0]


def test_two_cores_are_almost_twice_as_fast_on_large_layers():
    one, two = (estimate(small(), name).rows[2] for name in ("systolic-16-os", "dual-core"))
    assert compute(one) / compute(two) == pytest.approx(2, rel=1e-3)
    assert two["utilisation"] <= 1


def test_cores_share_filters_or_rows_whichever_is_faster():
    few_filters, few_rows = Net(1, 64, 64, 16).conv(16), Net(1, 1, 16, 16).conv(64, kernel=1)
    for net in (few_filters, few_rows):
        assert compute(row(net, "dual-core")) < 0.6 * compute(row(net, "systolic-16-os"))


def test_a_core_without_work_is_imbalance():
    found = row(Net(1, 1, 1, 64).conv(1, kernel=1), "dual-core")
    assert compute(found) == compute(row(Net(1, 1, 1, 64).conv(1, kernel=1), "systolic-16-os"))


def test_the_core_with_more_to_do_decides():
    machine = replace(load("balanced-16x16"), cores=2, decoder=None)
    weights = np.ones((32, 1, 1, 64), np.int8)
    weights[16:, :, :, 16:] = 0
    found = row(Net(1, 1, 16, 64).conv(32, kernel=1, weights=weights), machine)
    assert compute(found) == 64
    assert found["cycles_imbalance"] == 64 - (64 + 16) // 2


def test_depthwise_layers_are_shared_by_channels():
    single, double = (row(Net(1, 1, 16, 64).depthwise(), name) for name in ("systolic-16-os", "dual-core"))
    assert 1.9 < compute(single) / compute(double) <= 2.1


@pytest.mark.parametrize(("code", "bits"), [(1, 1 + 14), (127, 1 + 21)])
def test_accumulators_must_hold_the_sums_that_the_weights_can_make(code, bits):
    # 64 taps: 64 * 255 < 2**14, and 64 * 127 * 255 < 2**21
    weights = np.full((2, 1, 1, 64), code)
    found = estimate(Net(1, 2, 2, 64).conv(2, kernel=1, weights=weights).graph())
    assert found.rows[0]["accumulator_bits"] == found.totals["accumulator_bits"] == bits


def test_static_energy_is_charged_by_the_cycle():
    machine = replace(load("systolic-16-os"), static_pj_per_cycle=7.0)
    found = estimate(small(), machine)
    assert found.totals["energy_static_pj"] == pytest.approx(7 * found.totals["cycles_total"])
    assert found.totals["energy_total_uj"] == pytest.approx(
        estimate(small(), "systolic-16-os").totals["energy_total_uj"] + found.totals["energy_static_pj"] / 1e6
    )
    assert "+ static" in str(found)
