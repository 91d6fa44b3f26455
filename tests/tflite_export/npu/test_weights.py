import numpy as np
import pytest

from tflite_export.ir import Quantization, Tensor
from tflite_export.npu.weights import measure, nbytes, zero_code


def constant(values, dtype="int8", zero_point=(0,), axis=0):
    data = np.asarray(values, np.int8)
    zero_point = np.asarray(zero_point, np.int64)
    grid = Quantization(np.ones(zero_point.shape, np.float32), zero_point, axis)
    return Tensor("kernel", data.shape, dtype, grid, data)


def test_two_equally_likely_codes_need_one_bit_each_and_a_table():
    weights = measure(constant([[0, 3] * 8] * 4))
    assert (weights.count, weights.zeros, weights.distinct) == (64, 32, 2)
    assert (weights.stored_bytes, weights.entropy_bytes) == (64, 8 + 2 * 2)


def test_channels_add_ten_bytes_of_bias_and_scale_each():
    weights = measure(constant([[0, 3] * 8] * 4), channels=4)
    assert weights.moved_bytes("dense") == 64 + 40
    assert weights.moved_bytes("entropy") == 12 + 40


def test_four_bit_codes_are_stored_two_in_a_byte():
    assert nbytes(constant([[1, 2, 3]], "int4")) == 2


def test_a_stream_that_would_grow_is_stored_raw():
    assert measure(constant([[1, 2, 3]], "int4")).entropy_bytes == 2


def test_a_zero_is_the_zero_point_of_its_channel():
    tensor = constant([[5, 0, 5], [-2, -2, 0]], zero_point=[5, -2])
    assert measure(tensor).zeros == 4
    assert zero_code(tensor).shape == (2, 1)


def test_zeroing_weights_shortens_the_stream_where_zero_is_the_commonest_code():
    codes = np.arange(-32, 32).repeat(8)
    codes[:64] = 0
    sparser = np.where(np.arange(codes.size) % 3 == 0, 0, codes)
    assert measure(constant(sparser)).entropy_bytes < measure(constant(codes)).entropy_bytes


def test_weights_computed_at_run_time_are_refused():
    with pytest.raises(ValueError, match="`kernel` must be a constant"):
        measure(Tensor("kernel", (1,), "int8"))
