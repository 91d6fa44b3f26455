"""Files to damage, and ways to damage them: by the byte, by the word, by the field, by the table."""

import struct
from collections.abc import Iterator

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import compress_lut, write
from tflite_export.ir import Graph, Op, Quantization, Tensor

WORDS = (0, 1, 2**7, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)
"""32-bit values that offsets, lengths, indices and sizes go wrong with."""


def grid(scale, zero_point=0, axis=0, bits=8):
    scale = np.atleast_1d(np.float32(scale))
    return Quantization(scale, np.full(scale.shape, zero_point, np.int64), axis, bits)


def network() -> Graph:
    """Convolution, padding, pooling, a sum, a mean, a reshape, a dense layer, softmax; int8, int4 and int32."""
    rng = np.random.default_rng(0)
    on, ones = grid(0.1), {"stride_h": 1, "stride_w": 1}
    dilated = {**ones, "dilation_h_factor": 1, "dilation_w_factor": 1, "padding": "SAME"}
    pool = {**ones, "filter_height": 2, "filter_width": 2, "padding": "VALID"}

    def constant(name, data, dtype, quantization=None):
        data = np.asarray(data, np.int8 if dtype == "int4" else dtype)
        return Tensor(name, data.shape, dtype, quantization, data)

    tensors = (
        Tensor("image", (1, 6, 6, 3), "int8", on),
        constant("kernel", rng.integers(-3, 4, (24, 3, 3, 3)), "int8", grid(np.full(24, 0.01), bits=3)),
        constant("bias", rng.integers(-99, 99, 24), "int32", grid(np.full(24, 0.001), bits=32)),
        Tensor("conv", (1, 6, 6, 24), "int8", on),
        constant("widths", [[0, 0], [1, 1], [1, 1], [0, 0]], "int32"),
        Tensor("padded", (1, 8, 8, 24), "int8", on),
        Tensor("pooled", (1, 7, 7, 24), "int8", on),
        Tensor("total", (1, 7, 7, 24), "int8", on),
        constant("axes", [1, 2], "int32"),
        Tensor("mean", (1, 24), "int8", on),
        constant("shape", [1, 24], "int32"),
        Tensor("flat", (1, 24), "int8", on),
        constant("matrix", rng.integers(-7, 8, (5, 24)), "int4", grid(0.02, bits=4)),
        constant("offset", rng.integers(-99, 99, 5), "int32", grid(0.002, bits=32)),
        Tensor("logits", (1, 5), "int8", on),
        Tensor("shares", (1, 5), "int8", grid(1 / 256, -128)),
    )
    ops = (
        Op("CONV_2D", (0, 1, 2), (3,), {**dilated, "fused_activation_function": "RELU"}),
        Op("PAD", (3, 4), (5,)),
        Op("MAX_POOL_2D", (5,), (6,), pool),
        Op("ADD", (6, 6), (7,), {"fused_activation_function": "NONE"}),
        Op("MEAN", (7, 8), (9,), {"keep_dims": False}),
        Op("RESHAPE", (9, 10), (11,), {"new_shape": (1, 24)}),
        Op("FULLY_CONNECTED", (11, 12, 13), (14,)),
        Op("SOFTMAX", (14,), (15,), {"beta": 1.0}),
    )
    signature = ("serving_default", {"image": 0}, {"shares": 15})
    return Graph(tensors, ops, (0,), (15,), signature, {"note": b"0123"}, "to be damaged")


def files() -> dict[str, bytes]:
    """Sound files in the three forms: plain, with tables of values, with constants behind the flatbuffer."""
    plain = write(network())
    return {"plain": plain, "tables of values": compress_lut(plain), "outside": outside(plain)}


def outside(blob: bytes) -> bytes:
    """The file with its longest constant behind the tables."""
    model = schema.ModelT.InitFromPackedBuf(blob)
    buffer = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    data, mark = bytes(buffer.data), 0x0123456789ABCDEF
    buffer.data, buffer.offset, buffer.size = None, mark, len(data)
    packed = repacked(model)
    return packed.replace(mark.to_bytes(8, "little"), len(packed).to_bytes(8, "little")) + data


def repacked(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def truncated(blob: bytes, rng: np.random.Generator) -> bytes:
    return blob[: rng.integers(0, len(blob))]


def flipped(blob: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(blob)
    for position in rng.integers(8, len(blob), rng.integers(1, 9)):
        damaged[position] ^= 1 << rng.integers(0, 8)
    return bytes(damaged)


def overwritten(blob: bytes, rng: np.random.Generator) -> bytes:
    """Single words replaced by extremes."""
    damaged = bytearray(blob)
    for _ in range(rng.integers(1, 4)):
        position = 4 * int(rng.integers(0, len(blob) // 4))
        damaged[position : position + 4] = int(rng.choice(WORDS)).to_bytes(4, "little")
    return bytes(damaged)


def spliced(blob: bytes, rng: np.random.Generator) -> bytes:
    """A piece of the file copied over another, cut out, or put in twice."""
    start, size, target = (int(rng.integers(8, len(blob))), int(rng.integers(1, 200)), int(rng.integers(8, len(blob))))
    piece = blob[start : start + size]
    kind = rng.integers(0, 3)
    if kind == 0:
        return (blob[:target] + piece + blob[target + len(piece) :])[: len(blob)]
    return blob[:start] + (b"" if kind == 1 else piece * 2) + blob[start + size :]


MUTATIONS = {"truncated": truncated, "flipped": flipped, "overwritten": overwritten, "spliced": spliced}


def hostile(blob: bytes, rng: np.random.Generator) -> bytes:
    """One to three fields of the schema's objects set to what a stranger would try."""
    model = schema.ModelT.InitFromPackedBuf(blob)
    try:
        for _ in range(rng.integers(1, 4)):
            edits = list(_edits(model, rng))
            edits[rng.integers(0, len(edits))]()
        return repacked(model)
    except (TypeError, ValueError, AttributeError, OverflowError, IndexError, struct.error):
        return hostile(blob, rng)  # what is left has nothing to edit, or the schema no room for the lie


def _edits(model: schema.ModelT, rng: np.random.Generator) -> Iterator[object]:
    graph = model.subgraphs[0]
    tensor = graph.tensors[rng.integers(0, len(graph.tensors))]
    op = graph.operators[rng.integers(0, len(graph.operators))]
    buffer = model.buffers[rng.integers(0, len(model.buffers))]
    index = int(rng.choice([-2, -1, 0, 3, 7, len(graph.tensors), 2**31 - 1]))
    shapes = [
        [],
        [0],
        [-1, 6, 6, 3],
        [2**31 - 1],
        [2**16, 2**16],
        [1] * 9,
        [1, 2**20, 2**20, 1],
        [1, 6, 6, 3],
        [1, 2**28],
    ]
    yield lambda: setattr(tensor, "shape", shapes[rng.integers(0, len(shapes))])
    yield lambda: setattr(tensor, "type", int(rng.integers(0, 22)))
    yield lambda: setattr(tensor, "buffer", int(rng.choice([0, 1, 2, 99, 2**32 - 1])))
    yield lambda: setattr(tensor, "name", "kernel")
    yield lambda: setattr(tensor, "isVariable", True)
    yield lambda: setattr(
        tensor.quantization or schema.QuantizationParametersT(),
        "scale",
        [float(rng.choice([0, -1, 1e38, np.inf, np.nan]))],
    )
    yield lambda: setattr(
        tensor.quantization or schema.QuantizationParametersT(),
        "zeroPoint",
        [int(rng.choice([-(2**63), 2**63 - 1, 300]))],
    )
    yield lambda: setattr(tensor.quantization or schema.QuantizationParametersT(), "quantizedDimension", index)
    yield lambda: setattr(tensor, "sparsity", schema.SparsityParametersT())
    yield lambda: setattr(op, "inputs", [index] * int(rng.integers(0, 5)))
    yield lambda: setattr(op, "outputs", [index] * int(rng.integers(0, 3)))
    yield lambda: setattr(op, "opcodeIndex", index % 2**32)
    yield lambda: _swap(graph.operators, rng)  # reads before it is written: a cycle
    yield lambda: graph.operators.append(op)
    yield lambda: setattr(graph, "inputs", [index])
    yield lambda: setattr(graph, "outputs", [index])
    yield lambda: setattr(graph, "tensors", graph.tensors[: int(rng.integers(0, len(graph.tensors)))])
    yield lambda: setattr(buffer, "data", None)
    yield lambda: setattr(buffer, "data", np.zeros(int(rng.choice([0, 1, 10**6])), np.uint8))
    yield lambda: (
        setattr(buffer, "offset", int(rng.choice([2, 100, 2**63]))),
        setattr(buffer, "size", int(rng.choice([0, 648, 2**63]))),
    )
    yield lambda: setattr(model, "buffers", model.buffers[: int(rng.integers(0, len(model.buffers)))])
    yield lambda: setattr(model, "subgraphs", model.subgraphs * int(rng.choice([0, 2, 50])))
    yield lambda: setattr(model, "operatorCodes", [])
    yield lambda: setattr(
        model.operatorCodes[0] if model.operatorCodes else model, "builtinCode", int(rng.integers(0, 300))
    )
    yield lambda: setattr(model, "version", index % 2**32)
    yield lambda: model.metadata.append(schema.MetadataT("tfcompress", int(rng.integers(0, len(model.buffers) + 1))))
    yield lambda: model.metadata.append(
        schema.MetadataT("COMPRESSION_METADATA", int(rng.integers(0, len(model.buffers) + 1)))
    )
    if op.builtinOptions is not None:
        fields = [name for name, value in vars(op.builtinOptions).items() if isinstance(value, int)]
        if fields:
            field = fields[rng.integers(0, len(fields))]
            yield lambda: setattr(op.builtinOptions, field, int(rng.choice([0, -1, 7, 2**15, 2**31 - 1, -(2**31)])))


def _swap(ops: list[object], rng: np.random.Generator) -> None:
    a, b = rng.integers(0, len(ops), 2)
    ops[a], ops[b] = ops[b], ops[a]
