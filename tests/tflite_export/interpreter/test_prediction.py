import numpy as np
import pytest

from tflite_export.interpreter.prediction import decode, encode


def test_floats_become_codes_as_in_quantize(tensor, on):
    x = np.float32([-1000, -0.75, -0.25, 0, 0.25, 0.75, 1000])
    codes = encode(x, tensor("x", (7,), "int8", on(0.5, 3)))
    assert codes.dtype == np.int8
    assert codes.tolist() == [-128, 1, 2, 3, 4, 5, 127]


def test_values_of_the_right_type_pass_unchanged(tensor, on):
    x = np.array([1], np.int8)
    assert encode(x, tensor("x", (1,), "int8", on(1))) is x


def test_double_becomes_float32_for_a_float_input(tensor):
    assert encode(np.array([0.1]), tensor("x", (1,), "float32")).dtype == np.float32


@pytest.mark.parametrize("x", [np.array([1], np.int32), np.array([True])])
def test_other_types_are_refused_by_name(x, tensor, on):
    with pytest.raises(ValueError, match="'x' takes int8 or floats"):
        encode(x, tensor("x", (1,), "int8", on(1)))


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_values_without_a_code_are_refused(x, tensor, on):
    with pytest.raises(ValueError, match="takes finite values"):
        encode(np.array([x]), tensor("x", (1,), "int8", on(1)))


def test_codes_are_decoded_and_floats_left_alone(tensor, on):
    np.testing.assert_array_equal(decode(np.array([5], np.int8), tensor("y", (1,), "int8", on(0.5, 3))), [1.0])
    y = np.float32([7])
    assert decode(y, tensor("y", (1,), "float32")) is y
