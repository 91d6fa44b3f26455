"""Graph to flatbuffer. The same graph gives the same bytes, and constants that are equal are stored once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import lut, widths
from tflite_export.flatbuffer.check import check
from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.flatbuffer.options import OPERATORS, TYPES, UNIONS, complete, table_name, to_table
from tflite_export.flatbuffer.packing import pack
from tflite_export.flatbuffer.versions import version
from tflite_export.ir import Graph, Op, Tensor

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
ALIGNMENT = 16
"""Bytes; the schema asks it of buffers, so that a microcontroller may run the file from flash."""

MAX_BYTES = 2**31 - 2**20
"""Offsets in a flatbuffer are signed 32-bit numbers."""

CUSTOM = ("custom_code", "custom_options")


class _Buffer(schema.BufferT):
    """A buffer whose bytes lie at a multiple of 16, where the generated class promises 4 only."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = 0
        if self.data is not None:
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head = builder.Head() - len(self.data)
            builder.Bytes[builder.Head() : builder.Head() + len(self.data)] = self.data
            data = builder.EndVector()
        schema.BufferStart(builder)
        if self.data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class _Buffers:
    """The buffers of a file; number 0 is empty by convention and stands for "no constant"."""

    def __init__(self) -> None:
        self.tables = [_Buffer()]
        self.numbers: dict[bytes, int] = {}

    def add(self, data: bytes) -> int:
        """The number of the buffer that holds ``data``."""
        if data not in self.numbers:
            self.numbers[data] = len(self.tables)
            self.tables.append(_Buffer(data=data))
        return self.numbers[data]


def canonical(graph: Graph) -> Graph:
    """``graph`` as a reader will see it: options complete, widths in the metadata. Its meaning is the same.

    Raises:
        InvalidModel: An op, an option or a width cannot be stored.
    """
    ops = tuple(replace(op, options=_complete(op)) for op in graph.ops)
    return replace(graph, ops=ops, metadata=widths.describe(graph))


def _complete(op: Op) -> dict[str, Any]:
    if op.kind not in OPERATORS:
        raise InvalidModel(f"'{op.kind}' is not an operator of the TFLite schema.")
    extra = {key: op.options[key] for key in CUSTOM if op.options.get(key)}
    return complete(op.kind, {key: v for key, v in op.options.items() if key not in extra}) | extra


def write(graph: Graph, tables: Mapping[int, lut.Lut] | None = None) -> bytes:
    """The flatbuffer of ``graph``.

    Args:
        graph: What to write.
        tables: Tensor -> how it is stored by a table of values, for TensorFlow Lite Micro; see ``lut``.

    Raises:
        InvalidModel: The graph is inconsistent or cannot be stored; see ``check`` and ``canonical``.
    """
    graph = canonical(graph)
    check(graph)
    buffers = _Buffers()
    model = schema.ModelT(version=SCHEMA_VERSION, description=graph.description or None)
    codes: dict[tuple[str, int, str], int] = {}
    model.subgraphs = [_subgraph(graph, buffers, codes, tables or {})]
    model.operatorCodes = [_operator_code(*code) for code in codes]
    model.signatureDefs = [_signature(*graph.signature)] if graph.signature else None
    metadata = dict(graph.metadata)
    if tables:
        values = {t: (buffers.add(table.values), table.bits) for t, table in tables.items()}
        metadata[lut.KEY] = lut.describe(values)
    model.metadata = [schema.MetadataT(name, buffers.add(data)) for name, data in sorted(metadata.items())]
    model.buffers = buffers.tables
    size = sum(map(len, buffers.numbers))
    if size > MAX_BYTES:
        raise InvalidModel(f"The constants take {size:,} bytes; a flatbuffer holds less than {MAX_BYTES:,}.")
    builder = flatbuffers.Builder(size + 1024)
    try:
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    except TypeError as error:
        raise InvalidModel(f"An option is out of the range that the schema gives it: {error}") from None
    return bytes(builder.Output())


def _subgraph(
    graph: Graph, buffers: _Buffers, codes: dict[tuple[str, int, str], int], tables: Mapping[int, lut.Lut]
) -> schema.SubGraphT:
    tensors = [_tensor(tensor, buffers, tables.get(index)) for index, tensor in enumerate(graph.tensors)]
    operators = []
    for op in graph.ops:
        code = (op.kind, version(op, graph.tensors), op.options.get("custom_code", ""))
        operators.append(_operator(op, codes.setdefault(code, len(codes))))
    return schema.SubGraphT(tensors, list(graph.inputs), list(graph.outputs), operators, "main")


def _tensor(tensor: Tensor, buffers: _Buffers, table_of_values: lut.Lut | None) -> schema.TensorT:
    table = schema.TensorT(
        shape=list(tensor.shape), type=TYPES[tensor.dtype], name=tensor.name, isVariable=tensor.is_variable
    )
    table.hasRank = True
    if tensor.data is not None:
        stored = table_of_values.indices if table_of_values else pack(tensor.data, tensor.dtype)
        table.buffer = buffers.add(stored)
    if tensor.quantization is not None:
        grid = tensor.quantization
        table.quantization = schema.QuantizationParametersT(
            scale=grid.scale, zeroPoint=grid.zero_point, quantizedDimension=grid.axis
        )
    return table


def _operator_code(kind: str, number: int, custom_code: str) -> schema.OperatorCodeT:
    code = OPERATORS[kind]
    # Readers older than the wide field see 127, "a newer operator".
    return schema.OperatorCodeT(min(code, 127), custom_code or None, number, code)


def _operator(op: Op, code: int) -> schema.OperatorT:
    table = schema.OperatorT(opcodeIndex=code, inputs=list(op.inputs), outputs=list(op.outputs))
    options = {key: value for key, value in op.options.items() if key not in CUSTOM}
    name = table_name(op.kind)
    for field, union in UNIONS:
        if name in union:
            setattr(table, f"{field}Type", union[name])
            setattr(table, field, to_table(op.kind, options))
    if op.intermediates:
        table.intermediates = list(op.intermediates)
    if "custom_options" in op.options:
        table.customOptions = np.frombuffer(op.options["custom_options"], np.uint8)
    return table


def _signature(key: str, inputs: Any, outputs: Any) -> schema.SignatureDefT:
    maps = [[schema.TensorMapT(name, index) for name, index in sorted(m.items())] for m in (inputs, outputs)]
    return schema.SignatureDefT(*maps, signatureKey=key)
