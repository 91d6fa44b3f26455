import numpy as np
import pytest

from tflite_export.flatbuffer import InvalidModel
from tflite_export.flatbuffer.options import complete
from tflite_export.flatbuffer.versions import version
from tflite_export.ir import Op, Quantization, Tensor


def tensor(text):
    """``"int8:1,4,4,3"``, with a trailing ``*`` if it has two scales."""
    dtype, _, shape = text.partition(":")
    scales = 2 if shape.endswith("*") else 1
    grid = Quantization(np.ones(scales, np.float32), np.zeros(scales, np.int64))
    return Tensor("t", tuple(int(d) for d in shape.rstrip("*").split(",") if d), dtype, grid)


IMAGE, KERNEL = "int8:1,4,4,3", "int8:2,3,3,3"

CASES = [
    ("CONV_2D", (IMAGE, KERNEL, "int32:2"), {}, 3),
    ("CONV_2D", (IMAGE, "int4:2,3,3,3", "int32:2"), {}, 7),
    ("CONV_2D", ("int8:1,4,4,6", KERNEL, "int32:2"), {}, 6),
    ("CONV_2D", ("int16:1,4,4,3", KERNEL, "int64:2"), {}, 4),
    ("CONV_2D", ("int16:1,4,4,3", KERNEL, "int32:2"), {"quantized_bias_type": "int32"}, 8),
    ("CONV_2D", ("float32:1,4,4,3", "float32:2,3,3,3", "float32:2"), {}, 1),
    ("CONV_2D", ("float32:1,4,4,3", KERNEL, "float32:2"), {}, 2),
    ("CONV_2D", ("float32:1,4,4,3", KERNEL + "*", "float32:2"), {}, 5),
    ("DEPTHWISE_CONV_2D", (IMAGE, "int8:1,3,3,3", "int32:3"), {}, 3),
    ("DEPTHWISE_CONV_2D", (IMAGE, "int4:1,3,3,3", "int32:3"), {}, 6),
    ("DEPTHWISE_CONV_2D", ("float32:1,4,4,3", "float32:1,3,3,3"), {}, 1),
    ("DEPTHWISE_CONV_2D", ("float32:1,4,4,3", "float32:1,3,3,3"), {"dilation_w_factor": 2}, 2),
    ("FULLY_CONNECTED", ("int8:1,4", "int8:2,4", "int32:2"), {}, 4),
    ("FULLY_CONNECTED", ("int8:1,4", "int8:2,4"), {}, 6),
    ("FULLY_CONNECTED", ("int8:1,4", "int8:2,4", "int32:2"), {"keep_num_dims": True}, 5),
    ("FULLY_CONNECTED", ("int8:1,4", "int4:2,4", "int32:2"), {}, 10),
    ("FULLY_CONNECTED", ("int8:1,4", "int2:2,4", "int32:2"), {}, 14),
    ("FULLY_CONNECTED", ("int16:1,4", "int8:2,4", "int64:2"), {}, 7),
    ("FULLY_CONNECTED", ("float32:1,4", "float32:2,4", "float32:2"), {}, 1),
    ("FULLY_CONNECTED", ("float32:1,4", "int8:2,4*", "float32:2"), {}, 12),
    ("AVERAGE_POOL_2D", (IMAGE,), {}, 2),
    ("MAX_POOL_2D", ("int16:1,4,4,3",), {}, 3),
    ("MEAN", (IMAGE, "int32:2"), {}, 2),
    ("SOFTMAX", ("int8:1,4",), {}, 2),
    ("SOFTMAX", ("float32:1,4",), {}, 1),
    ("ADD", (IMAGE, IMAGE), {}, 2),
    ("ADD", ("int16:4", "int16:4"), {"pot_scale_int16": False}, 3),
    ("SUB", (IMAGE, IMAGE), {}, 2),
    ("CONCATENATION", (IMAGE, IMAGE), {}, 2),
    ("PAD", (IMAGE, "int32:4,2"), {}, 2),
    ("PAD", ("float32:1,1,4,4,3", "int32:5,2"), {}, 4),
    ("RESHAPE", (IMAGE, "int32:2"), {}, 1),
    ("MAXIMUM", (IMAGE, IMAGE), {}, 2),
    ("TRANSPOSE", (IMAGE, "int32:4"), {}, 2),
    ("STRIDED_SLICE", (IMAGE, "int32:4", "int32:4", "int32:4"), {}, 2),
    ("STRIDED_SLICE", (IMAGE, "int32:4", "int32:4", "int32:4"), {"new_axis_mask": 1}, 6),
    ("RESIZE_BILINEAR", (IMAGE, "int32:2"), {"half_pixel_centers": True}, 3),
    ("GATHER", ("int8:4", "int32:4"), {}, 2),
    ("LOGISTIC", ("int8:4",), {}, 2),
    ("TRANSPOSE_CONV", ("int32:4", KERNEL, IMAGE), {}, 2),
    ("TRANSPOSE_CONV", ("int32:4", KERNEL, IMAGE, "int32:2"), {}, 3),
    ("DEQUANTIZE", ("int8:4",), {}, 2),
    ("DEQUANTIZE", ("int4:4",), {}, 6),
]


@pytest.mark.parametrize(("kind", "inputs", "options", "expected"), CASES)
def test_the_lowest_version_that_carries_the_types_and_options(kind, inputs, options, expected):
    tensors = [tensor(text) for text in inputs]
    tensors.append(tensor(f"{tensors[0].dtype}:1,4,4,3"))
    op = Op(kind, tuple(range(len(inputs))), (len(inputs),), complete(kind, options))
    assert version(op, tensors) == expected


@pytest.mark.parametrize(("x", "y", "expected"), [("float32", "int8", 1), ("int8", "int8", 1), ("int8", "int4", 4)])
def test_quantize_depends_on_both_sides(x, y, expected):
    assert version(Op("QUANTIZE", (0,), (1,), {}), [tensor(f"{x}:4"), tensor(f"{y}:4")]) == expected


@pytest.mark.parametrize(("out", "expected"), [(2.0, 2), (1.0, 3), (0.5, 3)])
def test_a_multiplication_that_scales_up_needs_version_three(out, expected):
    tensors = [tensor("int8:4"), tensor("int8:4")]
    tensors.append(Tensor("y", (4,), "int8", Quantization(np.float32([out]), np.array([0]))))
    assert version(Op("MUL", (0, 1), (2,), complete("MUL", {})), tensors) == expected


def test_an_op_without_its_inputs_is_refused_by_name():
    with pytest.raises(InvalidModel, match="CONV_2D needs at least 2 inputs"):
        version(Op("CONV_2D", (0,), (0,), complete("CONV_2D", {})), [tensor(IMAGE)])
