"""Winograd's algorithm: exact transforms, grown widths, and what it saves where."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_export.npu import estimate, load, winograd
from tflite_export.npu.loops import Loops
from tflite_export.npu.winograd import TILES, products

from .graphs import Net, compute

INPUTS = {
    2: np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    4: np.array(
        [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
         [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
    ),
}  # fmt: skip
OUTPUTS = {
    2: np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
    4: np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
}
SCALE = {2: 2, 4: 24}


@pytest.mark.parametrize("m", TILES)
def test_the_kernel_transform_belongs_to_an_exact_algorithm(m):
    random = np.random.default_rng(0)
    x, w = random.integers(-128, 128, m + 2), random.integers(-127, 128, 3)
    y = OUTPUTS[m] @ ((TILES[m].kernel @ w) * (INPUTS[m] @ x))
    np.testing.assert_array_equal(y, SCALE[m] * np.correlate(x, w, "valid"))
    assert np.abs(INPUTS[m]).sum(1).max() ** 2 == TILES[m].growth


def layer(weight_bits, in_bits):
    return Loops(16, 16, 16, 16, 64, 64, kernel_h=3, kernel_w=3, weight_width=weight_bits, in_width=in_bits)


def gain_on_bricks(loops, grown):
    def bricks(layer):
        return layer.macs * np.prod([-(-width // 2) for width in layer.widths])

    return bricks(loops) / bricks(grown)


@pytest.mark.parametrize(
    ("weight_bits", "in_bits", "m", "widths", "gain"),
    [
        (8, 8, 2, (12, 11), 1.00),
        (4, 8, 2, (7, 11), 0.75),
        (4, 4, 2, (7, 7), 0.56),
        (8, 8, 4, (18, 15), 0.89),
        (4, 8, 4, (13, 15), 0.57),
        (4, 4, 4, (13, 11), 0.38),
    ],
)
def test_widths_grow_until_nothing_is_gained_on_bricks(monkeypatch, weight_bits, in_bits, m, widths, gain):
    monkeypatch.setattr(winograd, "ACCUMULATOR_BITS", 64)
    loops = layer(weight_bits, in_bits)
    found = products(loops, np.full((64, 576), 2 ** (weight_bits - 1) - 1), m)
    assert found.loops.widths == widths
    assert gain_on_bricks(loops, found.loops) == pytest.approx(gain, abs=5e-3)


def test_sums_of_more_than_32_bits_are_left_alone():
    codes = np.full((64, 576), 127)
    assert products(layer(8, 8), codes, 4) is None
    assert products(layer(8, 8), codes, 2).accumulator_bits <= 32


@pytest.mark.parametrize(
    "other", [{"stride_h": 2}, {"dilation_w": 2}, {"groups": 2}, {"kernel_h": 1, "in_channels": 192}]
)
def test_other_convolutions_are_left_alone(other):
    loops = replace(layer(8, 8), **other)
    assert products(loops, np.ones((loops.filters, loops.k), np.int8), 2) is None


@pytest.mark.parametrize(("m", "largest"), [(2, 127), (4, 3)])
def test_wide_multipliers_save_time_and_narrow_ones_do_not(m, largest):
    random = np.random.default_rng(0)
    weights = random.integers(-largest, largest + 1, (64, 3, 3, 64))
    graph = Net(1, 32, 32, 64).conv(64, weights=weights).graph()
    chip = load("systolic-16-os")
    narrow = replace(chip, winograd=m, vector=replace(chip.vector, lanes=64))
    wide, direct = (replace(narrow, winograd=n, array=replace(narrow.array, multiplier_bits=18)) for n in (m, 0))
    rows = {name: estimate(graph, chip).rows[0] for name, chip in [("n", narrow), ("w", wide), ("d", direct)]}
    assert rows["w"]["macs_executed"] * (9 * m**2) == rows["w"]["macs"] * (m + 2) ** 2
    assert compute(rows["w"]) < 0.75 * compute(rows["d"])
    assert rows["w"]["utilisation"] <= 1
    assert [rows[name]["algorithm"] for name in "nwd"] == ["", f"winograd {m}x{m}", ""]
    assert compute(rows["n"]) == compute(rows["d"])
    assert rows["w"]["dram_read_bytes"] == rows["d"]["dram_read_bytes"]
