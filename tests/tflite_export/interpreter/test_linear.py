import numpy as np
import pytest

from tflite_export.interpreter import fused, linear

LIMITS = (5, -128, 127)


def rule_for(outputs, bias=0):
    return fused.rescale_by(np.linspace(1e-4, 9e-4, outputs), LIMITS, bias)


def requantized(total, rule):
    out = np.empty(total.shape, np.int8)
    fused.requantize(total.astype(np.int32), rule, out)
    return out


def codes(*shape):
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize(("rows", "depth", "outputs"), [(1, 1, 1), (3, 27, 5), (12, 32, 32), (61, 6, 33), (100, 8, 70)])
def test_product_equals_that_of_numpy_at_any_size(rows, depth, outputs):
    x, weights, bias = codes(rows, depth), codes(depth, outputs), np.arange(outputs) - 7
    rule, out = rule_for(outputs, bias), np.empty((rows, outputs), np.int8)
    linear.multiply(x, linear.panels(weights), linear.raised(rule, weights), out)
    np.testing.assert_array_equal(out, requantized(x.astype(np.int64) @ weights.astype(np.int64), rule))


@pytest.mark.parametrize("length", [1033, 20_000, 140_000])
def test_longest_sums_of_extremes_are_exact_and_wrap_like_int32(length):
    x, weights = np.full((1, length), -128, np.int8), np.full((length, 2), -128, np.int8)
    x[0, 0] = weights[0, 1] = 127
    rule = fused.rescale_by(2.0**-25, LIMITS, np.zeros(2, np.int64))
    out = np.empty((1, 2), np.int8)
    linear.multiply(x, linear.panels(weights), linear.raised(rule, weights), out)
    total = (x.astype(np.int64) @ weights.astype(np.int64)).astype(np.int32)
    np.testing.assert_array_equal(out, requantized(total, rule))


def test_convolution_writes_its_channels_and_no_others():
    """The second of two groups: 3 of 6 channels, windows of 2 x 3 in steps of (2, 1), every second column."""
    padded, weights, rule = codes(2, 6, 9, 6), codes(2, 3, 3, 4), rule_for(4)
    out = np.zeros((2, 3, 5, 10), np.int8)
    matrix = weights.reshape(-1, 4)
    seen = (2, 3, 2 * 6, 3), (2, 1 * 6, 1, 3)
    linear.convolve(padded.reshape(2, 6, -1), linear.panels(matrix), *seen, 4, linear.raised(rule, matrix), out)
    total = sum(
        padded[:, i : i + 5 : 2, 2 * j : 2 * j + 5, 3:].astype(np.int64) @ weights[i, j].astype(np.int64)
        for i in range(2)
        for j in range(3)
    )
    np.testing.assert_array_equal(out[..., 4:8].reshape(-1, 4), requantized(total.reshape(-1, 4), rule))
    assert not out[..., :4].any()
    assert not out[..., 8:].any()


@pytest.mark.parametrize(
    ("size", "steps", "channels"), [((3, 3), (1, 1, 1, 1), 16), ((3, 2), (2, 3, 2, 3), 3), ((1, 5), (1, 1, 1, 1), 70)]
)
def test_depthwise_equals_a_sum_over_windows(size, steps, channels):
    x, weights, zero, rule = codes(2, 9, 11, channels), codes(*size, channels), -7, rule_for(channels)
    down, across, deep, apart = steps
    above, left = ((size[0] - 1) * deep + 1) // 2, ((size[1] - 1) * apart + 1) // 2
    padded = np.pad(x - np.int64(zero), ((0, 0), (above, above), (left, left), (0, 0)))
    height = (padded.shape[1] - (size[0] - 1) * deep - 1) // down + 1
    width = (padded.shape[2] - (size[1] - 1) * apart - 1) // across + 1
    total = np.zeros((2, height, width, channels), np.int64)
    for i in range(size[0]):
        for j in range(size[1]):
            part = padded[:, i * deep :, j * apart :]
            total += part[:, : height * down : down, : width * across : across] * weights[i, j]
    out = np.empty(total.shape, np.int8)
    linear.depthwise(x, linear.stacks(weights), (above, left), steps, zero, rule, out)
    np.testing.assert_array_equal(out.reshape(-1, channels), requantized(total.reshape(-1, channels), rule))
