import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp, fused, weighted
from tflite_export.ir import Op

OP = Op("CONV_2D", (0, 1, 2), (3,))


@pytest.fixture
def tensors(tensor, on):
    return [
        tensor("x", (1, 1, 1, 2), "int8", on(0.1, 5)),
        tensor("w", np.ones((3, 1, 1, 2)), "int8", on([0.1, 0.2, 0.3])),
        tensor("b", [1, 2, 3], "int32", on([0.01, 0.02, 0.03])),
        tensor("y", (1, 1, 1, 3), "int8", on(0.7)),
    ]


def test_multiplier_is_computed_in_float64_from_float32_scales(tensors):
    real = weighted.real_multipliers(OP, tensors, 3)
    expected = float(np.float32(0.1)) * float(np.float32(0.3)) / float(np.float32(0.7))
    assert real[2] == expected


def test_zero_point_moves_into_the_bias_and_wraps(tensors, tensor):
    assert weighted.folded_bias(OP, tensors, np.array([2, 2, 2])).tolist() == [-9, -8, -7]
    tensors[2] = tensor("b", [-(2**31)] * 3, "int32")
    assert weighted.folded_bias(OP, tensors, np.array([2, 2, 2])).tolist() == [2**31 - 10] * 3


def test_missing_bias_is_zero(tensors):
    assert weighted.folded_bias(Op("CONV_2D", (0, 1), (3,)), tensors, np.array([2])).tolist() == [-10]


def test_rule_carries_the_bias(tensors):
    assert weighted.rescale(OP, tensors, np.array([2, 2, 2])).table[fused.BIAS].tolist() == [-9, -8, -7]


@pytest.mark.parametrize(
    "position, content, message",
    [
        (1, (np.ones((3, 1, 1, 2)), "int16"), "expected type int8 or int4"),
        (1, (np.ones((3, 2)), "int8"), "must have 4 axes"),
        (1, ((3, 1, 1, 2), "int8"), "must be a constant"),
    ],
)
def test_weights_of_another_kind_are_refused_by_name(position, content, message, tensors, tensor, on):
    tensors[position] = tensor("w", *content, on(1))
    with pytest.raises(UnsupportedOp, match=f"'w'.*{message}"):
        weighted.weights(OP, tensors, rank=4)


def test_float_input_with_integer_weights_is_refused(tensors, tensor):
    tensors[0], tensors[3] = tensor("x", (1, 1, 1, 2), "float32"), tensor("y", (1, 1, 1, 3), "float32")
    with pytest.raises(UnsupportedOp, match=r"'w'.*expected type float32"):
        weighted.weights(OP, tensors, rank=4)


def test_asymmetric_weights_are_refused(tensors, tensor, on):
    tensors[1] = tensor("w", np.ones((3, 1, 1, 2)), "int8", on(1, 3))
    with pytest.raises(UnsupportedOp, match=r"zero point 0"):
        weighted.rescale(OP, tensors, np.array([2, 2, 2]))


def test_number_of_scales_must_fit(tensors, tensor, on):
    tensors[1] = tensor("w", np.ones((3, 1, 1, 2)), "int8", on([1, 2]))
    with pytest.raises(UnsupportedOp, match=r"expected 1 or 3 scales. Received: 2"):
        weighted.rescale(OP, tensors, np.array([2, 2, 2]))


def test_output_scale_too_small_is_refused(tensors, tensor, on):
    tensors[3] = tensor("y", (1, 1, 1, 3), "int8", on(1e-12))
    with pytest.raises(UnsupportedOp, match=r"'y'.*too small for the accumulator"):
        weighted.rescale(OP, tensors, np.array([2, 2, 2]))


def test_bias_of_another_kind_is_refused(tensors, tensor):
    tensors[2] = tensor("b", [1, 2], "int32")
    with pytest.raises(UnsupportedOp, match=r"'b'.*int32 bias of 3"):
        weighted.rescale(OP, tensors, np.array([2, 2, 2]))
