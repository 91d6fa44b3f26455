"""Files whose constants lie behind the flatbuffer, as ai-edge-quantizer and converters of large models write them."""

import struct

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import InvalidModel, canonical, read, write
from tflite_export.interpreter import Interpreter
from tflite_export.litert import LiteRT

PLACEHOLDER = 0x0123456789ABCDEF
"""Stands where an offset comes once the size of the tables is known; it makes the writer store the field."""


def moved_outside(blob, offsets=None, sizes=None):
    """The file with all constants behind its tables; ``offsets`` and ``sizes`` lie about single buffers."""
    model = schema.ModelT.InitFromPackedBuf(blob)
    contents = {k: bytes(buffer.data) for k, buffer in enumerate(model.buffers) if buffer.data is not None}
    for k, data in contents.items():
        model.buffers[k].data = None
        model.buffers[k].offset, model.buffers[k].size = PLACEHOLDER + k, (sizes or {}).get(k, len(data))
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    file = bytearray(builder.Output())
    for k, data in contents.items():
        file += bytes(-len(file) % 16)
        field = struct.pack("<Q", PLACEHOLDER + k)
        assert file.count(field) == 1
        position = file.index(field)
        file[position : position + 8] = struct.pack("<Q", (offsets or {}).get(k, len(file)))
        file += data
    return bytes(file)


def test_such_a_file_reads_as_the_one_it_was_made_from(graph):
    blob = write(graph)
    outside = moved_outside(blob)
    assert graph.tensors[1].data.tobytes() not in outside[: len(blob) // 2]
    assert read(outside) == canonical(graph)


def test_it_runs_like_the_reference_kernels(network):
    outside, x = (
        moved_outside(write(network)),
        np.random.default_rng(0).integers(-128, 128, (1, 5, 5, 3)).astype(np.int8),
    )
    with LiteRT("reference") as litert:
        expected = litert.run(outside, [x])[network.outputs[0]]
    np.testing.assert_array_equal(Interpreter(model_content=outside).predict(x), expected)


@pytest.mark.parametrize("offset", [2**64 - 1, 2**63, 2**32, 10**6])
def test_an_offset_behind_the_end_is_one_clear_error(graph, offset):
    with pytest.raises(InvalidModel, match="truncated or damaged: it refers to .* bytes at"):
        read(moved_outside(write(graph), offsets={1: offset}))


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 10**6])
def test_a_size_beyond_the_end_is_one_clear_error(graph, size):
    with pytest.raises(InvalidModel, match="truncated or damaged"):
        read(moved_outside(write(graph), sizes={1: size}))


def test_a_size_that_is_not_the_tensors_is_one_clear_error(graph):
    with pytest.raises(InvalidModel, match="'conv/kernel', int8.* takes 108 bytes. Received: 107"):
        read(moved_outside(write(graph), sizes={1: 107}))


def test_a_truncated_end_is_one_clear_error(graph):
    outside = moved_outside(write(graph))
    for length in range(len(outside) - 200, len(outside)):
        with pytest.raises(InvalidModel):
            read(outside[:length])
