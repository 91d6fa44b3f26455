"""Cells at their own pace: dense, with zeros skipped, balanced and not."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_export.npu import estimate, load
from tflite_export.npu.arrays import Parallel
from tflite_export.npu.loops import Loops
from tflite_export.npu.values import Values

from ..graphs import Net, compute

ARRAY = Parallel(rows=4, columns=2, lanes=1, multiplier_bits=8, group_taps=4)
TAPS, DENSITY = 576, 0.25


def weights(kind):
    """64 filters of 576 taps, a quarter not zero: of each 16 taps, anywhere, or above one threshold for all."""
    random = np.random.default_rng(0)
    w = random.normal(size=(64, TAPS))
    if kind == "skewed":
        w = np.abs(w * np.exp(0.5 * random.normal(size=(64, 1))))
        kept = w > np.quantile(w, 1 - DENSITY)
    elif kind == "balanced":
        kept = (np.abs(w).reshape(64, -1, 16).argsort(-1).argsort(-1) >= 16 * (1 - DENSITY)).reshape(64, TAPS)
    else:
        kept = random.random((64, TAPS)) < {"random": DENSITY, "dense": 1}[kind]
    return np.where(kept, 5, 0).reshape(64, 3, 3, 64)


def cycles(kind, **array):
    machine = load("balanced-16x16")
    machine = replace(machine, array=replace(machine.array, **array))
    return compute(estimate(Net(1, 16, 16, 64).conv(64, weights=weights(kind)).graph(), machine).rows[0])


def test_balanced_zeros_are_skipped_in_full():
    assert cycles("dense") == 16 * 16 * 64 * TAPS // 256
    assert cycles("dense") == 4 * cycles("balanced")


def test_balanced_pruning_beats_random_and_skewed_zeros():
    assert cycles("random") / cycles("balanced") >= 1.7
    assert cycles("skewed") / cycles("balanced") >= 2.5


def test_sorted_filters_lose_less_to_channels_of_different_scale():
    assert cycles("skewed", reorder=True) < 0.7 * cycles("skewed")
    assert cycles("balanced", reorder=True) == cycles("balanced")


def test_queues_hide_most_of_random_imbalance():
    found = [cycles("random", queue_depth=depth) for depth in (1, 2, 4, 8, 0)]
    assert found == sorted(found, reverse=True)
    assert cycles("dense") / found[0] == pytest.approx(2.23, abs=0.01)
    assert found[-1] < 0.65 * found[0]


def test_without_skipping_zeros_the_array_is_dense():
    layer = Loops(1, 5, 1, 5, in_channels=6, out_channels=3)
    work = ARRAY.convolution(layer, weight_bytes=18)
    assert (work.cycles, work.useful, work.imbalance) == (2 * 2 * 6, 5 * 6 * 3 // 8, 0)
    assert work.sram_read_bytes == 2 * 5 * 6 + 2 * 18
    zeros = Values(np.zeros((3, 6), np.int8))
    assert ARRAY.convolution(layer, 18, zeros) == work


def test_the_slowest_cell_of_each_fold_decides():
    # groups of four taps: filters 0 and 1 have (4, 1) and (1, 2) products, filter 2 alone has (0, 2)
    codes = np.array([[1, 1, 1, 1, 0, 1], [0, 0, 0, 3, 4, 5], [0, 0, 0, 0, 1, 1]])
    layer = Loops(1, 4, 1, 4, in_channels=6, out_channels=3)
    work = ARRAY.convolution(layer, 0, Values(codes, weight_zeros="skipped"))
    assert work.cycles == (4 + 2) + 2
    assert work.imbalance == (4 + 2) - 4  # the first fold's cells have five and three to do
    assert work.useful == 4 * (5 + 3 + 2) // 8
    np.testing.assert_array_equal(work.loads, [[5, 3], [2, 0]])
    assert replace(ARRAY, queue_depth=0).convolution(layer, 0, Values(codes, weight_zeros="skipped")).cycles == 5 + 2


def test_pairs_of_weights_and_inputs_count_where_both_are_skipped():
    random = np.random.default_rng(0)
    codes, inputs = random.integers(0, 2, (3, 6)), random.random((1, 5, 6)) < 0.5
    layer = Loops(1, 5, 1, 5, in_channels=6, out_channels=3)
    work = ARRAY.convolution(layer, 0, Values(codes, inputs, "skipped", "skipped"))
    expected = 0
    for rows in (range(4), range(4, 5)):
        for filters in ((0, 1), (2,)):
            for taps in (slice(0, 4), slice(4, 6)):
                expected += max(np.sum((codes[n] != 0)[taps] & inputs[0, m][taps]) for m in rows for n in filters)
    assert work.cycles == expected
    assert work.useful == np.sum((codes != 0)[None] & inputs[0][:, None]) // 8


def test_each_column_may_read_channels_of_its_own():
    # two groups of one filter each fill both columns
    layer = Loops(1, 4, 1, 4, in_channels=3, out_channels=1, groups=2)
    assert ARRAY.depthwise(layer, weight_bytes=0).cycles == 3
    inputs = np.ones((2, 4, 3), bool)
    inputs[1] = False
    values = Values(np.ones((2, 3), np.int8), inputs, "skipped", "skipped")
    assert ARRAY.depthwise(layer, 0, values).loads.reshape(4, 2).T.tolist() == [[3] * 4, [0] * 4]


def test_lanes_share_the_products_of_a_cell():
    layer = Loops(1, 4, 1, 4, in_channels=8, out_channels=2)
    codes = np.array([[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0]])
    work = replace(ARRAY, lanes=2).convolution(layer, 0, Values(codes, weight_zeros="skipped"))
    assert work.cycles == 2 + 1


def test_shifters_with_eight_lanes_take_the_signed_digits_of_each_weight():
    # 85 has four digits, so four taps of it take two cycles of eight; powers of two take one
    layer = Loops(1, 4, 1, 4, in_channels=4, out_channels=1)
    array = replace(ARRAY, lanes=8, group_taps=8, multiplier="shift")
    taken = [array.convolution(layer, 0, Values(np.full((1, 4), code))).cycles for code in (64, 85)]
    assert taken == [1, 2]
