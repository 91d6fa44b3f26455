from dataclasses import replace

import numpy as np
import pytest

from tflite_export.npu import estimate, load
from tflite_export.npu.decoder import Decoder

from .graphs import Net


def row(machine, density=0.25, **decoder):
    random = np.random.default_rng(0)
    weights = np.where(random.random((32, 1, 1, 64)) < density, 99, 0)
    chip = replace(load(machine), decoder=Decoder(**decoder) if decoder else None)
    return estimate(Net(1, 8, 8, 64).conv(32, kernel=1, weights=weights).graph(), chip).rows[0]


@pytest.mark.parametrize(
    ("decoder", "cycles"),
    [
        ({"bits_per_cycle": 10_000, "symbols_per_cycle": 1}, 4 * 32 * 64),  # read for each of four folds of positions
        ({"bits_per_cycle": 4, "symbols_per_cycle": 10_000}, 4 * 32 * 64 * 8 // 4),
    ],
)
def test_a_slow_decoder_holds_up_the_array(decoder, cycles):
    found = row("systolic-16-os", **decoder)
    assert found["cycles_total"] - found["cycles_memory_stall"] == cycles
    free = row("systolic-16-os")
    assert found["cycles_decode"] == cycles - (free["cycles_total"] - free["cycles_memory_stall"])


def test_a_fast_decoder_costs_nothing():
    assert row("systolic-16-os", bits_per_cycle=512, symbols_per_cycle=64)["cycles_decode"] == 0


def test_where_zeros_are_skipped_only_the_other_weights_are_handed_over():
    found = row("balanced-16x16", bits_per_cycle=10_000, symbols_per_cycle=1)
    assert found["cycles_total"] - found["cycles_memory_stall"] == 4 * (found["weight_count"] - found["weight_zeros"])
