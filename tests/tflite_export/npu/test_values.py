import numpy as np
import pytest

from tflite_export.npu.loops import Loops
from tflite_export.npu.values import Values, unfold

LAYER = Loops(1, 5, 1, 5, in_channels=6, out_channels=3)
RANDOM = np.random.default_rng(0)
CODES, INPUTS = RANDOM.integers(-1, 2, (3, 6)), RANDOM.random((1, 5, 6)) < 0.5
PAIRS = (CODES != 0)[None] & INPUTS[0][:, None]


@pytest.mark.parametrize(
    ("weights", "inputs", "skipped", "resting"),
    [
        ("charged", "charged", 90, 90),
        ("skipped", "charged", 5 * np.count_nonzero(CODES), 5 * np.count_nonzero(CODES)),
        ("gated", "charged", 90, 5 * np.count_nonzero(CODES)),
        ("charged", "skipped", 3 * INPUTS.sum(), 3 * INPUTS.sum()),
        ("skipped", "gated", 5 * np.count_nonzero(CODES), PAIRS.sum()),
        ("skipped", "skipped", PAIRS.sum(), PAIRS.sum()),
    ],
)
def test_what_takes_time_and_what_takes_energy(weights, inputs, skipped, resting):
    values = Values(CODES, INPUTS, weights, inputs)
    assert values.steps(LAYER, "fixed") == skipped
    assert values.steps(LAYER, "fixed", ("gated", "skipped")) == resting


def test_inputs_that_were_not_seen_are_not_zero():
    values = Values(CODES, None, "skipped", "skipped")
    assert values.steps(LAYER, "fixed") == 5 * np.count_nonzero(CODES)


@pytest.mark.parametrize(
    ("loops", "channels"),
    [
        (Loops(5, 4, 5, 4, 2, 3, batch=2, kernel_h=3, kernel_w=2), 2),
        (Loops(5, 4, 3, 2, 2, 3, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2), 2),
        (Loops(6, 6, 6, 6, 1, 1, groups=3, kernel_h=3, kernel_w=3, dilation_h=2, dilation_w=2), 3),
        (Loops(6, 6, 4, 4, 2, 1, groups=2, kernel_h=3, kernel_w=3), 4),
        (Loops(5, 5, 3, 3, 1, 1, kernel_h=1, kernel_w=1, stride_h=2, stride_w=2), 1),
    ],
)
def test_unfolded_inputs_are_those_that_a_convolution_meets(loops, channels):
    active = np.random.default_rng(1).random((loops.batch, loops.in_h, loops.in_w, channels)) < 0.5
    unfolded = unfold(active, loops)
    assert unfolded.shape == (loops.groups, loops.m, loops.k)
    missing = [
        max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2
        for out, stride, kernel, dilation, size in (
            (loops.out_h, loops.stride_h, loops.kernel_h, loops.dilation_h, loops.in_h),
            (loops.out_w, loops.stride_w, loops.kernel_w, loops.dilation_w, loops.in_w),
        )
    ]
    for (g, m, k), value in np.ndenumerate(unfolded):
        b, rest = divmod(m, loops.out_h * loops.out_w)
        y, x = divmod(rest, loops.out_w)
        tap, c = divmod(k, loops.in_channels)
        dy, dx = divmod(tap, loops.kernel_w)
        row = y * loops.stride_h + dy * loops.dilation_h - missing[0]
        column = x * loops.stride_w + dx * loops.dilation_w - missing[1]
        inside = 0 <= row < loops.in_h and 0 <= column < loops.in_w
        assert value == (inside and active[b, row, column, g * loops.in_channels + c])
