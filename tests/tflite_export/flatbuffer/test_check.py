from dataclasses import replace

import numpy as np
import pytest

from tflite_export.flatbuffer import InvalidModel
from tflite_export.flatbuffer.check import check
from tflite_export.ir import Graph, Op, Quantization, Tensor


def test_a_sound_graph_passes(graph):
    check(graph)


def grid(scale=(1.0,), zero_point=(0,), **kwargs):
    return Quantization(np.array(scale, np.float32), np.array(zero_point, np.int64), **kwargs)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor("t", (1, -1), "int8"), "fixed shape"),
        (Tensor("t", (2**16, 2**16), "int8"), "fixed shape"),
        (Tensor("t", (1,) * 9, "int8"), "fixed shape"),
        (Tensor("t", (1,), "string"), "has type string; supported are float32"),
        (Tensor("t", (2,), "int8", None, np.zeros(3, np.int8)), r"is int8\[2\]. Received: int8\[3\]"),
        (Tensor("t", (2,), "int8", None, np.zeros(2, np.int32)), r"is int8\[2\]. Received: int32\[2\]"),
        (Tensor("t", (2,), "int4", None, np.array([-9, 0], np.int8)), "codes -9 to 0 do not fit int4"),
        (Tensor("t", (2,), "int8", grid(axis=1)), "along axis 1"),
        (Tensor("t", (2,), "int8", grid((1.0, 1.0, 1.0), (0, 0, 0))), "has 3 scales along axis 0"),
        (Tensor("t", (), "int8", grid((1.0, 1.0), (0, 0))), "has 2 scales"),
        (Tensor("t", (2,), "int8", grid((1.0, 1.0), (0,))), "2 scales but 1 zero points"),
        (Tensor("t", (2,), "int8", grid((np.nan,))), "not finite"),
        (Tensor("t", (2,), "int8", grid((-1.0,))), "negative"),
        (Tensor("t", (2,), "int8", grid(zero_point=(128,))), "zero point outside int8"),
        (Tensor("t", (2,), "uint8", grid(zero_point=(-1,))), "zero point outside uint8"),
        (Tensor("t", (2,), "int8", grid(bits=9)), "cannot have 9 bits"),
        (Tensor("t", (2,), "int8", grid(low=-129)), "from -129"),
        (Tensor("t", (2,), "int8", Quantization(np.ones(1), np.zeros(1, np.int64))), "scales are float32"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused_by_name(tensor, message):
    with pytest.raises(InvalidModel, match=message):
        check(Graph((tensor,), (), (), ()))


def test_a_float_tensor_may_lie_on_any_grid():
    check(Graph((Tensor("t", (2,), "float32", grid(zero_point=(-1000,), bits=16)),), (), (), ()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": (9,)}, "refers to tensor 9, but there are 7"),
        ({"inputs": (-1,)}, "refers to tensor -1"),
        ({"inputs": (0, 1)}, "'conv/kernel' is an input of the model and a constant"),
        ({"inputs": ()}, r"Op 0 \(CONV_2D\) reads tensor 'image' before any op has made it"),
        ({"outputs": (7,)}, "refers to tensor 7"),
        ({"ops": ()}, "Output 'softmax' of the model is made by no op"),
        ({"signature": ("s", {"x": 7}, {})}, "The signature refers to tensor 7"),
    ],
)
def test_a_graph_that_does_not_hang_together_is_refused(graph, change, message):
    with pytest.raises(InvalidModel, match=message):
        check(replace(graph, **change))


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Op("RELU", (3,), (5,)), r"Op 3 \(RELU\) writes tensor 'flat', which has its value already"),
        (Op("RELU", (3,), (1,)), "writes tensor 'conv/kernel'"),
        (Op("RELU", (3,), (0,)), "writes tensor 'image'"),
        (Op("RELU", (-2,), (5,)), "refers to tensor -2"),
        (Op("RELU", (3,), (-1,)), "refers to tensor -1"),
    ],
)
def test_a_tensor_has_one_producer(graph, op, message):
    with pytest.raises(InvalidModel, match=message):
        check(replace(graph, ops=(*graph.ops, op)))


def test_ops_must_be_in_execution_order(graph):
    with pytest.raises(InvalidModel, match=r"Op 0 \(SOFTMAX\) reads tensor 'flat' before"):
        check(replace(graph, ops=graph.ops[::-1]))


def test_an_absent_input_and_a_variable_need_no_producer():
    tensors = (Tensor("state", (2,), "int8", is_variable=True), Tensor("y", (2,), "int8"))
    check(Graph(tensors, (Op("ADD", (0, -1), (1,)),), (), (1,)))
