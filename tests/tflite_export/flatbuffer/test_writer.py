from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import InvalidModel, canonical, read, write
from tflite_export.ir import Graph, Op, Tensor


def model(blob):
    return schema.ModelT.InitFromPackedBuf(blob)


def test_the_file_says_what_it_is(graph):
    blob = write(graph)
    assert blob[4:8] == b"TFL3"
    assert (model(blob).version, model(blob).description) == (3, b"a small graph")


def test_buffer_zero_is_empty_and_equal_constants_share_a_buffer(graph):
    twin = replace(graph.tensors[1], name="twin")
    buffers = model(write(replace(graph, tensors=(*graph.tensors, twin)))).buffers
    tables = model(write(replace(graph, tensors=(*graph.tensors, twin)))).subgraphs[0].tensors
    assert buffers[0].data is None
    assert tables[1].buffer == tables[-1].buffer != tables[2].buffer
    assert len(buffers) == 1 + 3 + 2  # empty, three constants, two metadata blobs


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 1000])
def test_constants_lie_at_multiples_of_sixteen_bytes(size):
    marks = [np.full(size, 100 + k, np.int8) for k in range(5)]
    tensors = tuple(Tensor(f"t{k}" * k, (size,), "int8", None, mark) for k, mark in enumerate(marks))
    blob = write(Graph(tensors, (), (), (), metadata={"m": bytes([99]) * size}))
    for mark in [*(mark.tobytes() for mark in marks), bytes([99]) * size]:
        length_and_data = size.to_bytes(4, "little") + mark
        assert blob.count(length_and_data) == 1
        assert (blob.index(length_and_data) + 4) % 16 == 0


def test_the_same_graph_gives_the_same_bytes(graph):
    reordered = replace(
        graph, metadata=dict(reversed(graph.metadata.items())), signature=("serving_default", {"x": 0}, {"y": 6})
    )
    assert write(graph) == write(graph) == write(reordered)


def test_operator_codes_are_listed_once_with_old_and_new_number(graph):
    twice = replace(graph, ops=(*graph.ops, Op("SOFTMAX", (5,), (7,), {"beta": 1.0})), outputs=(6, 7))
    twice = replace(twice, tensors=(*graph.tensors, replace(graph.tensors[6], name="again")))
    codes = [(c.builtinCode, c.deprecatedBuiltinCode, c.version) for c in model(write(twice)).operatorCodes]
    assert codes == [(3, 3, 3), (22, 22, 1), (25, 25, 2)]


def test_an_operator_beyond_127_announces_itself_to_old_readers():
    ops = (Op("BROADCAST_TO", (0, 1), (2,)),)
    shape = Tensor("shape", (1,), "int32", None, np.array([4], np.int32))
    tensors = (Tensor("x", (1,), "int8"), shape, Tensor("y", (4,), "int8"))
    (code,) = model(write(Graph(tensors, ops, (0,), (2,)))).operatorCodes
    assert (code.builtinCode, code.deprecatedBuiltinCode) == (130, 127)


def test_tensors_and_grids_are_in_their_fields(graph):
    kernel = model(write(graph)).subgraphs[0].tensors[1]
    assert (kernel.name, kernel.shape.tolist(), kernel.type, kernel.hasRank) == (b"conv/kernel", [4, 3, 3, 3], 9, True)
    np.testing.assert_array_equal(kernel.quantization.scale, np.float32([0.01, 0.02, 0.03, 0.04]))
    assert kernel.quantization.zeroPoint.tolist() == [0] * 4
    assert kernel.quantization.quantizedDimension == 0


def test_the_signature_names_tensors(graph):
    (signature,) = model(write(graph)).signatureDefs
    assert (signature.signatureKey, signature.subgraphIndex) == (b"serving_default", 0)
    assert [(m.name, m.tensorIndex) for m in (*signature.inputs, *signature.outputs)] == [(b"x", 0), (b"y", 6)]


def test_four_bit_storage_takes_half_the_bytes(graph):
    packed = replace(graph.tensors[1], dtype="int4")
    blob = write(replace(graph, tensors=(graph.tensors[0], packed, *graph.tensors[2:])))
    assert len(model(blob).buffers[1].data) == 54
    np.testing.assert_array_equal(read(blob).tensors[1].data, graph.tensors[1].data)


def test_custom_operators_and_intermediates_pass_through():
    options = {"custom_code": "MyOp", "custom_options": b"\x01\x02"}
    tensors = (Tensor("x", (1,), "int8"), Tensor("y", (1,), "int8"))
    op = Op("CUSTOM", (0,), (1,), options, intermediates=(0,))
    assert read(write(Graph(tensors, (op,), (0,), (1,)))).ops == (op,)


def test_an_operator_that_does_not_exist_is_refused(graph):
    with pytest.raises(InvalidModel, match="'CONV' is not an operator"):
        write(replace(graph, ops=(Op("CONV", (0,), (3,)),)))


def test_a_number_beyond_the_schema_is_refused(graph):
    wide = Op("RESHAPE", (3, 4), (5,), {"new_shape": (1, 2**40)})
    with pytest.raises(InvalidModel, match="out of the range"):
        write(replace(graph, ops=(graph.ops[0], wide, graph.ops[2])))


def test_canonical_graphs_stay_as_they_are(graph):
    assert canonical(canonical(graph)) == canonical(graph)
    assert canonical(graph).ops[0].options["dilation_h_factor"] == 1
