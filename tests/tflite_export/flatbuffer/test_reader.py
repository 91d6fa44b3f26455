import tracemalloc

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import InvalidModel, canonical, read, write
from tflite_export.ir import Graph, Tensor


def repack(blob, edit):
    """The file after ``edit(model)`` on the generated classes."""
    model = schema.ModelT.InitFromPackedBuf(blob)
    edit(model)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_reading_reverses_writing(graph):
    assert read(write(graph)) == canonical(graph)


def test_a_file_of_the_generated_writer_reads_the_same(graph):
    assert read(repack(write(graph), lambda model: None)) == canonical(graph)


def test_constants_are_views_of_the_file_and_read_only(graph):
    kernel = read(write(graph)).tensors[1].data
    assert not kernel.flags.owndata
    assert not kernel.flags.writeable


def test_a_constant_without_elements_stays_a_constant():
    graph = Graph((Tensor("axes", (0,), "int32", None, np.empty(0, np.int32)),), (), (), ())
    assert read(write(graph)) == graph


def test_data_behind_the_flatbuffer_is_read(graph):
    data = graph.tensors[1].data.tobytes()

    def move(model):
        buffer = model.buffers[1]
        buffer.data, buffer.offset, buffer.size = None, 2, len(data)

    blob = bytearray(repack(write(graph), move))
    (position,) = [k for k in range(len(blob)) if blob[k : k + 8] == b"\x02" + bytes(7)]
    blob[position : position + 8] = len(blob).to_bytes(8, "little")
    assert read(bytes(blob) + data) == canonical(graph)
    with pytest.raises(InvalidModel, match="truncated"):
        read(bytes(blob) + data[:-1])


def first(model):
    return model.subgraphs[0]


EDITS = {
    "must have schema version 3. Received: 4": lambda m: setattr(m, "version", 4),
    "exactly one subgraph. Received: 2": lambda m: m.subgraphs.append(m.subgraphs[0]),
    "exactly one subgraph. Received: 0": lambda m: m.subgraphs.clear(),
    "exactly one signature. Received: 2": lambda m: m.signatureDefs.append(m.signatureDefs[0]),
    "must be of subgraph 0. Received: 1": lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 1),
    "refers to buffer 99": lambda m: setattr(first(m).tensors[1], "buffer", 99),
    "Operator code 5000 is unknown": lambda m: setattr(m.operatorCodes[0], "builtinCode", 5000),
    r"refers to operator code 9, but there are 3": lambda m: setattr(first(m).operators[0], "opcodeIndex", 9),
    "'conv' must have a fixed shape": lambda m: setattr(first(m).tensors[3], "shape", [-1, 5, 5, 4]),
    "'conv' has type string": lambda m: setattr(first(m).tensors[3], "type", schema.TensorType.STRING),
    "'conv' has type unknown": lambda m: setattr(first(m).tensors[3], "type", 100),
    "'conv/kernel', int8.*takes 135 bytes. Received: 108": lambda m: setattr(
        first(m).tensors[1], "shape", [5, 3, 3, 3]
    ),
    "'conv/kernel' is stored sparsely": lambda m: setattr(
        first(m).tensors[1], "sparsity", schema.SparsityParametersT()
    ),
    "'conv' lies in another file": lambda m: setattr(first(m).tensors[3], "externalBuffer", 1),
    "3 scales along axis 0": lambda m: setattr(first(m).tensors[1].quantization, "scale", [0.1, 0.1, 0.1]),
    "along axis 4": lambda m: setattr(first(m).tensors[1].quantization, "quantizedDimension", 4),
    "4 scales but 2 zero points": lambda m: setattr(first(m).tensors[1].quantization, "zeroPoint", [0, 0]),
    "`padding` must be one of SAME, VALID. Received: number 7": lambda m: setattr(
        first(m).operators[0].builtinOptions, "padding", 7
    ),
    r"Op 0 \(CONV_2D\) carries SoftmaxOptions": lambda m: (
        setattr(first(m).operators[0], "builtinOptionsType", schema.BuiltinOptions.SoftmaxOptions),
        setattr(first(m).operators[0], "builtinOptions", schema.SoftmaxOptionsT()),
    ),
    "refers to tensor 50": lambda m: setattr(first(m).operators[0], "inputs", [50, 1, 2]),
    "writes tensor 'flat'": lambda m: setattr(first(m).operators[2], "outputs", [5]),
    "scale that is negative": lambda m: setattr(first(m).tensors[0].quantization, "scale", [-0.5]),
}


@pytest.mark.parametrize("message", EDITS)
def test_what_a_graph_cannot_say_is_refused_in_one_line(graph, message):
    with pytest.raises(InvalidModel, match=message) as error:
        read(repack(write(graph), EDITS[message]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"hello world", b"\0" * 100, b"PK\x03\x04 an archive", b"....TFL4...."])
def test_other_files_are_not_tflite_files(data):
    with pytest.raises(InvalidModel, match="Not a TFLite file"):
        read(data)


def test_a_truncated_file_is_one_clear_error(graph):
    blob = write(graph)
    for length in range(len(blob)):
        with pytest.raises(InvalidModel):
            read(blob[:length])


def test_flipped_bytes_give_a_graph_or_one_clear_error(graph):
    blob, rng = write(graph), np.random.default_rng(1)
    refused = 0
    for _ in range(600):
        damaged = bytearray(blob)
        for position in rng.integers(0, len(blob), rng.integers(1, 9)):
            damaged[position] = rng.integers(0, 256)
        try:
            assert isinstance(read(bytes(damaged)), Graph)
        except InvalidModel as error:
            refused += 1
            assert "\n" not in str(error)
    assert 100 < refused < 600


def test_words_overwritten_with_extremes_give_a_graph_or_one_clear_error(graph):
    blob = write(graph)
    for position in range(0, len(blob) - 4, 4):
        for word in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0"):
            try:
                read(blob[:position] + word + blob[position + 4 :])
            except InvalidModel as error:
                assert "\n" not in str(error)


def repeated(count, name):
    """A file whose list of tensors names one table, with a long name, ``count`` times."""
    builder = flatbuffers.Builder()
    tensor = schema.TensorT(name=name, shape=[1], type=schema.TensorType.INT8).Pack(builder)
    schema.SubGraphStartTensorsVector(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(subgraph)
    subgraphs = builder.EndVector()
    buffer = schema.BufferT().Pack(builder)
    schema.ModelStartBuffersVector(builder, 1)
    builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_memory_stays_in_proportion_to_the_file():
    blob = repeated(20_000, "x" * 100_000)  # 180 kB that unfold to 2 GB if one is naive
    tracemalloc.start()
    with pytest.raises(InvalidModel, match="over and over"):
        read(blob)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(blob)


def test_shared_tables_are_fine_in_moderation():
    assert len(read(repeated(3, "twin")).tensors) == 3
