import numpy as np
import pytest

from tflite_export.interpreter.prediction import decode, decodes, encode


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


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_whole_numbers_of_any_type_become_token_numbers(dtype, tensor):
    numbers = encode(np.array([0, 7], dtype), tensor("tokens", (2,), "int32"))
    assert numbers.dtype == np.int32 and numbers.tolist() == [0, 7]


@pytest.mark.parametrize("x", [np.array([0.5]), np.array([np.nan]), np.array([2**40])])
def test_what_is_no_token_number_is_refused(x, tensor):
    with pytest.raises(ValueError, match="'tokens' takes whole numbers of 32 bits"):
        encode(x, tensor("tokens", (1,), "int32"))


def test_results_are_decoded_unless_codes_went_in(tensor, on):
    quantised, tokens = tensor("x", (1,), "int8", on(1)), tensor("tokens", (1,), "int32")
    codes, numbers, floats = np.int8([1]), np.int64([1]), np.float32([1])
    assert (
        decodes([floats], [quantised])
        and decodes([numbers], [tokens])
        and decodes([numbers, floats], [tokens, quantised])
    )
    assert not decodes([codes], [quantised]) and not decodes([numbers, codes], [tokens, quantised])
