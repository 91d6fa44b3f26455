import numpy as np
import pytest

from tflite_export import measures
from tflite_export.ir import Graph, Op, Quantization, Tensor


@pytest.mark.parametrize(
    ("codes", "bits"),
    [
        ([0], 1),
        ([0, -1], 1),
        ([0, 1], 2),
        ([-1, 1], 2),
        ([-2, 1], 2),
        ([-7, 7], 4),
        ([-8, 7], 4),
        ([-9, 7], 5),
        ([0, 8], 5),
        ([-128, 127], 8),
        ([127], 8),
        ([], 1),
    ],
)
def test_true_bits_are_the_smallest_twos_complement_that_fits(codes, bits):
    assert measures.true_bits(np.array(codes, np.int8)) == bits


def test_codes_of_a_narrow_map_count_from_its_lowest():
    assert measures.true_bits(np.array([112, 127], np.int8), low=112) == 4
    assert measures.true_bits(np.array([111, 127], np.int8), low=112) == 8


def test_unsigned_codes_need_no_sign_bit_and_floats_keep_theirs():
    assert measures.true_bits(np.array([0, 255], np.uint8)) == 8
    assert measures.true_bits(np.array([0, 1], np.uint8)) == 1
    assert measures.true_bits(np.array([0.0, 1.0], np.float32)) == 32


def test_entropy_of_fair_coins_is_a_bit_each_plus_the_table():
    coins = np.array([0, 1] * 4000, np.int8)
    assert measures.entropy_bytes(coins) == 1000 + 2 * 2


def test_a_constant_costs_its_table_only():
    assert measures.entropy_bytes(np.full(1000, 3, np.int8)) == 2


def test_what_would_grow_is_stored_raw():
    assert measures.entropy_bytes(np.arange(-128, 128).astype(np.int8)) == 256
    assert measures.entropy_bytes(np.array([], np.int8)) == 0


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1, 0, 2, 0], "2:4"),
        ([1, 0, 2, 3], "3:4"),
        ([1, 1, 1, 1], ""),
        ([1, 0, 0, 0, 0, 0, 0, 0], "1:8"),
        ([1, 1, 0, 0, 0, 0, 1, 1], "2:4"),
        ([1, 1, 1, 1, 0, 0, 0, 0], "4:8"),
        ([1, 0, 1], ""),
        ([0, 0, 0, 0], "0:4"),
    ],
)
def test_the_tightest_pattern_along_the_input_channels(row, expected):
    assert measures.pattern(np.array([row, row], np.int8)) == expected


def test_a_codebook_may_be_turned_in_a_channel():
    codes = np.array([[1, 2, 64], [-1, -2, -64], [1, 64, 64]], np.int8)
    assert measures.codebook_size(codes, axis=0) == 3
    assert measures.codebook_size(codes, axis=None) == 6


def test_both_signs_in_one_channel_count_twice():
    assert measures.codebook_size(np.array([[-1, 1], [-1, 1]], np.int8), axis=0) == 2


def test_a_vector_has_no_pattern():
    assert measures.pattern(np.zeros(8, np.int32)) == ""


def tensor(scale, name="t", zero_point=0, data=None, shape=(4,), dtype="int8"):
    scale = np.atleast_1d(np.float32(scale))
    return Tensor(name, shape, dtype, Quantization(scale, np.full(scale.shape, zero_point)), data)


@pytest.mark.parametrize(
    ("x", "w", "y", "expected"),
    [
        (0.5, [0.25, 2.0], 0.125, True),
        (0.1, [0.2], 0.1, False),
        (0.5, [0.25, 0.3], 0.125, False),
        (0.5, [0.0], 0.125, False),
    ],
)
def test_shift_only_means_every_multiplier_is_a_power_of_two(x, w, y, expected):
    assert measures.shift_only(tensor(x), tensor(w), tensor(y)) is expected


def test_without_grids_the_question_makes_no_sense():
    assert measures.shift_only(Tensor("x", (4,), "float32"), tensor(1.0), tensor(1.0)) is None


def chain(*ops, constant=None):
    """Ops one behind the other, all tensors on the grid of step 1/16 and zero point 112."""
    tensors = [tensor(1 / 16, zero_point=112) for _ in range(len(ops) + 1)]
    tensors.append(tensor(1 / 16, zero_point=112, data=np.array([] if constant is None else [constant], np.int8)))
    ops = tuple(
        Op(kind, (k, len(tensors) - 1) if kind == "MAXIMUM" else (k,), (k + 1,), options)
        for k, (kind, options) in enumerate(ops)
    )
    return measures.code_ranges(Graph(tuple(tensors), ops, (0,), (len(ops),)))


RELU = {"fused_activation_function": "RELU"}
RELU6 = {"fused_activation_function": "RELU6"}


@pytest.mark.parametrize(
    ("ops", "constant", "expected"),
    [
        ([("CONV_2D", {})], None, (-128, 127)),
        ([("CONV_2D", RELU)], None, (112, 127)),
        ([("RELU", {})], None, (112, 127)),
        ([("CONV_2D", RELU6)], None, (112, 127)),
        ([("MAXIMUM", {})], 100, (100, 127)),
        ([("CONV_2D", RELU), ("RESHAPE", {})], None, (112, 127)),
        ([("CONV_2D", RELU), ("PAD", {}), ("MAX_POOL_2D", {})], None, (112, 127)),
        ([("CONV_2D", RELU), ("MEAN", {})], None, (-128, 127)),
    ],
)
def test_the_range_of_a_feature_map_is_what_its_op_enforces(ops, constant, expected):
    assert chain(*ops, constant=constant)[len(ops)] == expected


def test_a_map_without_a_usable_grid_promises_nothing():
    for step, expected in ((0.0, (-128, 127)), (1e-40, (0, 127))):
        scale = tensor(step)
        graph = Graph((scale, scale), (Op("CONV_2D", (0,), (1,), RELU6),), (0,), (1,))
        assert measures.code_ranges(graph)[1] == expected


def test_relu6_limits_the_top_too():
    step = tensor(0.1, zero_point=-128)
    graph = Graph((step, step), (Op("CONV_2D", (0,), (1,), RELU6),), (0,), (1,))
    assert measures.code_ranges(graph)[1] == (-128, -68)
