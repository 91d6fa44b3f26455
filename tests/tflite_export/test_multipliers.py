import numpy as np
import pytest

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.multipliers import ONE, is_shift, operations, powers_of_two


def tensor(name, shape, scale, dtype="int8", data=None):
    grid = None if scale is None else Quantization(np.float32([scale]), np.zeros(1, np.int64))
    return Tensor(name, shape, dtype, grid, None if data is None else np.asarray(data, np.int8).reshape(shape))


def record(kind, inputs, output, **options):
    op = Op(kind, tuple(range(len(inputs))), (len(inputs),), options)
    (found,) = operations(Graph((*inputs, output), (op,), (0,), (len(inputs),)))
    return found["shift_only"], found["multiplies"]


def test_a_power_of_two_is_the_multiplier_two_to_the_thirty():
    assert ONE == 2**30
    assert is_shift(np.array([2.0**-7, 1.0, 2.0**3]))
    assert not is_shift(np.array([2.0**-7, 0.3]))
    assert is_shift(np.array([2.0**-40, 0.0])) and is_shift(1.1 * 2.0**-33)  # the kernels multiply by 0


def test_codes_that_are_powers_of_two():
    assert powers_of_two(np.array([0, 1, -64, 32, -1, 2], np.int8))
    assert powers_of_two(np.array([-128], np.int8))
    assert not powers_of_two(np.array([0, 3], np.int8))


@pytest.mark.parametrize(
    ("scale", "codes", "expected"),
    [
        (2.0**-8, [1, -64, 0, 2], (True, "")),
        (2.0**-8, [1, 3, 0, 2], (False, "weights")),
        (0.01, [1, -64, 0, 2], (False, "rescaling")),
        (0.01, [1, 3, 0, 2], (False, "rescaling and weights")),
    ],
)
def test_a_dense_layer_needs_powers_of_two_in_scales_and_codes(scale, codes, expected):
    weight = tensor("w", (2, 2), scale, data=codes)
    assert record("FULLY_CONNECTED", [tensor("x", (1, 2), 0.5), weight], tensor("y", (1, 2), 2.0)) == expected


@pytest.mark.parametrize(
    ("kind", "scales", "expected"),
    [
        ("ADD", (0.5, 0.25, 1.0), (True, "")),
        ("ADD", (0.5, 0.3, 1.0), (False, "rescaling")),
        ("MUL", (0.5, 0.25, 1.0), (False, "its two operands")),
        ("CONCATENATION", (0.3, 0.3, 0.3), (True, "")),
        ("BATCH_MATMUL", (0.5, 0.5, 0.5), (False, "its two operands")),
        ("CUSTOM", (0.5, 0.5, 0.5), (None, "")),
    ],
)
def test_ops_on_two_tensors(kind, scales, expected):
    a, b, y = (tensor(name, (1, 4), scale) for name, scale in zip("aby", scales))
    assert record(kind, [a, b], y) == expected


@pytest.mark.parametrize(
    ("size", "padding", "expected"),
    [
        (2, "VALID", (True, "")),
        (3, "VALID", (False, "windows of 9")),
        (2, "SAME", (True, "")),
        (3, "SAME", (False, "windows of 4, 6, 9")),
    ],
)
def test_an_average_pooling_divides_by_the_pixels_of_its_windows(size, padding, expected):
    options = {"filter_height": size, "filter_width": size, "stride_h": 1, "stride_w": 1, "padding": padding}
    x, y = tensor("x", (1, 5, 5, 2), 0.3), tensor("y", (1, 4, 4, 2), 0.3)
    assert record("AVERAGE_POOL_2D", [x], y, **options) == expected


@pytest.mark.parametrize(("side", "scale", "expected"), [(4, 0.5, (True, "")), (7, 0.5, (False, "a mean of 49"))])
def test_a_mean_divides_by_its_count(side, scale, expected):
    axes = Tensor("axes", (2,), "int32", None, np.array([1, 2], np.int32))
    assert record("MEAN", [tensor("x", (1, side, side, 3), scale), axes], tensor("y", (1, 3), 0.25)) == expected


@pytest.mark.parametrize(
    ("kind", "dtype", "expected"),
    [
        ("SOFTMAX", "int8", (False, "exponentials and their sum")),
        ("LOGISTIC", "int8", (True, "")),
        ("LOGISTIC", "int16", (False, "interpolation in a table")),
        ("RELU", "int8", (True, "")),
        ("RELU", "float32", (False, "floating point")),
        ("RESHAPE", "float32", (True, "")),
    ],
)
def test_ops_on_one_tensor(kind, dtype, expected):
    assert record(kind, [tensor("x", (1, 4), 0.5, dtype)], tensor("y", (1, 4), 0.25, dtype)) == expected


def test_scales_that_are_absent_or_zero_say_nothing():
    assert record("ADD", [tensor("a", (4,), None), tensor("b", (4,), 1.0)], tensor("y", (4,), 1.0)) == (None, "")
    assert record("RELU", [tensor("a", (4,), 0.0)], tensor("y", (4,), 1.0)) == (None, "")
