import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp, operands
from tflite_export.ir import Op

OP = Op("ADD", (0, -1), (1,))


@pytest.fixture
def tensors(tensor, on):
    return tensor("x", (1, 2), "int8", on(0.5, 3)), tensor("y", (1, 2), "int8", on(0.25, 3))


def test_absent_input_is_none_but_an_error_where_needed(tensors):
    assert operands.operand(OP, tensors, 1) is None
    with pytest.raises(UnsupportedOp, match=r"input 1 is missing"):
        operands.required(OP, tensors, 1)


def test_input_computed_at_run_time_is_no_constant_and_the_way_out_is_named(tensors):
    with pytest.raises(UnsupportedOp, match=r"'x'.*must be a constant.*static batch 1"):
        operands.constant(OP, tensors, 0)


def test_common_type_names_the_odd_one_out(tensor, tensors):
    assert operands.common_type(OP, tensors, 0) == "int8"
    with pytest.raises(UnsupportedOp, match=r"'y' \(int16.*expected type int8. Received: int16"):
        operands.common_type(OP, (tensors[0], tensor("y", (1, 2), "int16")), 0)
    with pytest.raises(UnsupportedOp, match=r"float32 or int8"):
        operands.common_type(OP, (tensor("x", (1, 2), "int16"), tensors[1]), 0)


def test_scale_per_channel_is_not_affine(tensor, on):
    with pytest.raises(UnsupportedOp, match=r"expected one scale. Received: 2"):
        operands.affine(OP, tensor("x", (1, 2), "int8", on([1, 2])))


@pytest.mark.parametrize("zero_point", [-129, 128])
def test_zero_point_of_int8_is_one_of_its_codes(zero_point, tensor, on):
    with pytest.raises(UnsupportedOp, match=rf"between -128 and 127. Received: {zero_point}"):
        operands.affine(OP, tensor("x", (1, 2), "int8", on(0.5, zero_point)))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_scales_are_positive_and_finite(scale, tensor, on):
    with pytest.raises(UnsupportedOp, match=r"must be positive and finite"):
        operands.grid(OP, tensor("x", (1, 2), "int8", on(scale)))


def test_tensor_without_a_grid_is_named(tensor):
    with pytest.raises(UnsupportedOp, match=r"'x'.*Quantise it"):
        operands.affine(OP, tensor("x", (1, 2)))


def test_unknown_activation_is_refused_with_the_known_ones(tensors):
    with pytest.raises(UnsupportedOp, match=r"RELU6.*Received: TANH"):
        operands.activation(Op("ADD", (0,), (1,), {"fused_activation_function": "TANH"}), tensors)


def test_scale_too_small_for_an_activation_is_refused_as_litert_does(tensor, on):
    tiny = (tensor("x", (1,), "int8", on(1)), tensor("y", (1,), "int8", on(2.0**-29)))
    with pytest.raises(UnsupportedOp, match=r"too small for RELU6"):
        operands.limits(Op("ADD", (0,), (1,), {"fused_activation_function": "RELU6"}), tiny)


def test_different_grids_are_refused_with_the_remedy(tensors):
    with pytest.raises(UnsupportedOp, match=r"Insert a QUANTIZE"):
        operands.same_grid(OP, tensors, 0)
