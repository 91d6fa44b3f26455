"""Flatbuffer to graph, from whoever wrote it: every index is checked, and a bad file is one clear error.

Slot numbers are the field ids of TensorFlow Lite's ``schema.fbs``, in its order; a flatbuffer schema never
renumbers a field. What the graph has no place for is either without effect (names of subgraphs, op versions,
recorded ranges) or refused by name (several subgraphs, sparse tensors, data in other files).
"""

import math
import struct
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite_export.flatbuffer import lut, options, widths
from tflite_export.flatbuffer.check import check, check_shape
from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.flatbuffer.packing import byte_count, unpack
from tflite_export.flatbuffer.table import File, Table
from tflite_export.flatbuffer.writer import FILE_IDENTIFIER, SCHEMA_VERSION
from tflite_export.ir import STORAGE, Graph, Op, Quantization, Tensor

_KINDS = {number: name for name, number in options.OPERATORS.items()}
_TYPES = {number: name for name, number in options.TYPES.items()}
_BLOCKWISE = options.members(schema.QuantizationDetails)["BlockwiseQuantization"]
_UNIONS = [{number: name for name, number in union.items()} for _, union in options.UNIONS]


class _Constants:
    """The bytes of the buffers. Tensors that share a buffer share one array."""

    def __init__(self, file: File, model: Table) -> None:
        self.file = file
        self.buffers = list(model.children(4))
        self.arrays: dict[tuple[int, str], np.ndarray] = {}

    def bytes_of(self, index: int) -> memoryview:
        """The content of buffer ``index``, which may lie behind the flatbuffer proper."""
        if not 0 <= index < len(self.buffers):
            raise InvalidModel(f"The file refers to buffer {index}, but there are {len(self.buffers)} buffers.")
        offset = self.buffers[index].number(1, "Q")
        if offset > 1:  # 0 and 1 mean that the data is inside
            return self.file.span(offset, self.buffers[index].number(2, "Q"))
        return self.buffers[index].blob(0) or memoryview(b"")

    def array(self, index: int, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
        """The constant in buffer ``index``, or None if the buffer is empty."""
        data = self.bytes_of(index) if index else b""
        if not data:
            return None
        elements = math.prod(shape)
        if len(data) != byte_count(elements, dtype):
            raise InvalidModel(
                f"Tensor '{name}', {dtype}{list(shape)}, takes {byte_count(elements, dtype):,} bytes. "
                f"Received: {len(data):,}"
            )
        if (index, dtype) not in self.arrays:
            self.file.pay(elements + len(data))
            self.arrays[index, dtype] = unpack(data, elements, dtype)
        return self.arrays[index, dtype].reshape(shape)


def read(data: bytes) -> Graph:
    """The graph in a flatbuffer. Weights that are stored by tables of values come out as if they were not.

    Args:
        data: The whole file. Constants of the graph are read-only views of it where possible.

    Raises:
        InvalidModel: ``data`` is not a TFLite file, is damaged, or uses what a graph cannot say: several subgraphs
            or signatures, sparse or external tensors, dynamic shapes, types outside ``ir.STORAGE``. An op without
            kernel is not an error here.
    """
    return _read(data)[0]


def stored_tables(data: bytes) -> dict[int, lut.Lut]:
    """The tensors of a file that are stored by tables of values, and the tables; raises what ``read`` does."""
    return _read(data)[1]


def _read(data: bytes) -> tuple[Graph, dict[int, lut.Lut]]:
    if data[4:8] != FILE_IDENTIFIER:
        raise InvalidModel(f"Not a TFLite file: bytes 4 to 8 must be {FILE_IDENTIFIER!r}. Received: {data[4:8]!r}")
    file = File(bytes(data))
    model = file.root()
    if (number := model.number(0, "I")) != SCHEMA_VERSION:
        raise InvalidModel(f"The file must have schema version {SCHEMA_VERSION}. Received: {number}")
    (subgraph,) = _only(list(model.children(2)), "subgraph")
    constants = _Constants(file, model)
    metadata = _metadata(model, constants)
    inputs, outputs = (tuple(subgraph.vector(slot, "<i4").tolist()) for slot in (1, 2))
    codes = [_kind(table) for table in model.children(1)]
    ops = tuple(_op(number, table, codes) for number, table in enumerate(subgraph.children(3)))
    made = {*inputs, *(i for op in ops for i in op.outputs)}
    blob = widths.parse(metadata[widths.KEY]) if widths.KEY in metadata else {}
    tables = _tables(metadata.pop(lut.KEY, b""), subgraph, constants)
    tensors = tuple(
        widths.restore(_tensor(table, constants, index in made, tables.get(index)), blob)
        for index, table in enumerate(subgraph.children(0))
    )
    widths.check_names(tensors, blob)
    graph = Graph(tensors, ops, inputs, outputs, _signature(model), metadata, model.text(3))
    check(graph)
    return graph, tables


def _tables(description: bytes, subgraph: Table, constants: _Constants) -> dict[int, lut.Lut]:
    if not description:
        return {}
    found, entries = lut.parse(description), list(subgraph.children(0))
    if not all(0 <= tensor < len(entries) for tensor in found):
        raise InvalidModel(f"Metadata '{lut.KEY}' refers to tensor {max(found)}, but there are {len(entries)} tensors.")
    return {
        tensor: lut.Lut(
            bits, bytes(constants.bytes_of(entries[tensor].number(2, "I"))), bytes(constants.bytes_of(values))
        )
        for tensor, (values, bits) in found.items()
    }


def _only(tables: list[Table], what: str) -> list[Table]:
    if len(tables) != 1:
        raise InvalidModel(f"The file must have exactly one {what}. Received: {len(tables)}")
    return tables


def _kind(table: Table) -> tuple[str, str]:
    """Name of the operator, and its custom code."""
    code = max(table.number(0, "b"), table.number(3, "i"))  # old files have the narrow field only
    if code not in _KINDS:
        raise InvalidModel(f"Operator code {code} is unknown to this version of the schema. Update ai-edge-litert.")
    return _KINDS[code], table.text(1)


def _tensor(table: Table, constants: _Constants, made: bool, by_table: lut.Lut | None) -> Tensor:
    name = table.text(3)
    shape = tuple(table.vector(0, "<i4").tolist())
    check_shape(name, shape)
    dtype = _TYPES.get(table.number(1, "b"), "unknown")
    if dtype not in STORAGE:
        raise InvalidModel(f"Tensor '{name}' has type {dtype}; supported are {', '.join(STORAGE)}.")
    if table.child(6) is not None:
        raise InvalidModel(f"Tensor '{name}' is stored sparsely, which most kernels misread. Store it densely.")
    if table.number(10, "I"):
        raise InvalidModel(f"Tensor '{name}' lies in another file, which is not supported.")
    quantization = _quantization(name, table.child(4))
    if by_table is None:
        data = constants.array(table.number(2, "I"), name, shape, dtype)
    else:
        _check_axis(name, shape, quantization)
        constants.file.pay(math.prod(shape) * np.dtype(STORAGE[dtype]).itemsize)
        data = lut.decode(by_table, name, shape, dtype, quantization)
    variable = bool(table.number(5, "B"))
    if data is None and math.prod(shape) == 0 and not made and not variable:
        data = np.empty(shape, STORAGE[dtype])  # a constant without elements takes no bytes
    return Tensor(name, shape, dtype, quantization, data, variable)


def _check_axis(name: str, shape: tuple[int, ...], grid: Quantization | None) -> None:
    if grid is not None and len(grid.scale) > 1 and not (0 <= grid.axis < len(shape) and shape[grid.axis]):
        raise InvalidModel(f"Tensor '{name}' of shape {list(shape)} is quantised along axis {grid.axis}.")


def _quantization(name: str, table: Table | None) -> Quantization | None:
    if table is None or not len(scale := table.vector(2, "<f4")):
        return None
    if table.number(4, "B") == _BLOCKWISE:
        raise InvalidModel(f"Tensor '{name}' is quantised blockwise, which the reference kernels misread.")
    zero_point = table.vector(3, "<i8")
    zero_point = zero_point if len(zero_point) else np.zeros(len(scale), np.int64)
    return Quantization(scale.astype(np.float32), zero_point.astype(np.int64), table.number(6, "i"))


def _op(number: int, table: Table, codes: list[tuple[str, str]]) -> Op:
    code = table.number(0, "I")
    if code >= len(codes):
        raise InvalidModel(f"Op {number} refers to operator code {code}, but there are {len(codes)}.")
    kind, custom_code = codes[code]
    inputs, outputs, intermediates = (tuple(table.vector(slot, "<i4").tolist()) for slot in (1, 2, 8))
    custom_options = bytes(table.vector(5, "u1"))
    extra = {"custom_code": custom_code, "custom_options": custom_options}
    found = _options(f"Op {number} ({kind})", kind, table)
    return Op(kind, inputs, outputs, found | {key: value for key, value in extra.items() if value}, intermediates)


def _options(where: str, kind: str, table: Table) -> dict[str, Any]:
    expected = options.table_name(kind)
    for union, slot in zip(_UNIONS, (3, 11)):
        name, fields = union.get(table.number(slot, "B"), "unknown"), table.child(slot + 1)
        if name == "NONE" or fields is None:
            continue
        if name != expected:
            raise InvalidModel(f"{where} carries {name}; expected {expected or 'no options'}.")
        return _table_options(where, name, fields)
    return options.complete(kind, {})


def _table_options(where: str, name: str, fields: Table) -> dict[str, Any]:
    """The options in a table whose bounds are known to be sound, by the generated class."""
    try:
        reader = getattr(schema, name)()
        reader.Init(fields.file.data, fields.position)
        values = getattr(schema, f"{name}T").InitFromObj(reader)
        fields.file.pay(sum(8 * len(v) for v in vars(values).values() if isinstance(v, (np.ndarray, bytes, list))))
        return options.from_table(values)
    except InvalidModel as error:
        raise InvalidModel(f"{where}: {error}") from None
    except (struct.error, TypeError, ValueError, IndexError, OverflowError):
        raise InvalidModel(f"{where}: {name} is damaged.") from None


def _metadata(model: Table, constants: _Constants) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for table in model.children(6):
        name, data = table.text(0), constants.bytes_of(table.number(1, "I"))
        constants.file.pay(len(data))
        found[name] = bytes(data)
    return dict(sorted(found.items()))


def _signature(model: Table) -> tuple[str, dict[str, int], dict[str, int]] | None:
    tables = list(model.children(7))
    if not tables:
        return None
    (table,) = _only(tables, "signature")
    if table.number(4, "I"):
        raise InvalidModel(f"The signature must be of subgraph 0. Received: {table.number(4, 'I')}")
    inputs, outputs = ({m.text(0): m.number(1, "I") for m in table.children(slot)} for slot in (0, 1))
    return table.text(2), inputs, outputs
