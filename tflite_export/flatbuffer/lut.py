"""Weights as short indices into tables of values, in the form that TensorFlow Lite Micro reads (its "compression").

A tensor's buffer holds indices of 1 to 7 bits, the first in the highest bits of the first byte, padded with zeros at
the very end. Another buffer holds the values: one table, or one for each channel where the tensor has several scales,
all of the same length and padded with zeros. Which tensors are stored so stands in a metadata entry that is itself a
flatbuffer:

    metadata["COMPRESSION_METADATA"] = Metadata {schema_version, subgraphs: [Subgraph {lut_tensors: [
        LutTensor {tensor, value_buffer, index_bitwidth}]}]}

Every other runtime takes the indices for weights, so such a file is one more file, for such a runtime.

Reference: TensorFlow Lite Micro, "TFLM Compression Support" and ``compression/metadata.fbs``, schema version 1,
https://github.com/tensorflow/tflite-micro/blob/main/tensorflow/lite/micro/docs/compression.md. Differs from it in
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import flatbuffers
import numpy as np

from tflite_export.flatbuffer.errors import InvalidModel
from tflite_export.flatbuffer.packing import pack
from tflite_export.flatbuffer.table import File
from tflite_export.ir import STORAGE, Graph, Quantization, Tensor

KEY = "COMPRESSION_METADATA"
VERSION = 1
MOST_BITS = 7

OPERANDS = {"FULLY_CONNECTED": (1, 2), "CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "TRANSPOSE_CONV": (1, 3)}
"""Op -> inputs that its kernel decompresses."""

TYPES = ("int8", "int16", "int32", "int64", "float32", "bool")

OVERHEAD = 64
"""Bytes that another buffer and its entry in the metadata take in the file."""


@dataclass(frozen=True)
class Lut:
    """A tensor stored by a table: ``bits`` of an index, the ``indices`` and the ``values`` as bytes."""

    bits: int
    indices: bytes
    values: bytes

    @property
    def size(self) -> int:
        """Bytes of indices and values."""
        return len(self.indices) + len(self.values)


def tables(graph: Graph) -> dict[int, Lut]:
    """The tensors that are smaller by a table, and the tables."""
    read = {t for op in graph.ops for k, t in enumerate(op.inputs) if k in OPERANDS.get(op.kind, ())}
    elsewhere = {t for op in graph.ops for k, t in enumerate(op.inputs) if k not in OPERANDS.get(op.kind, ())}
    candidates = sorted(read - elsewhere - set(graph.outputs) - {-1})
    found = {t: lut for t in candidates if (lut := encode(graph.tensors[t]))}
    sizes = {t: len(pack(np.asarray(graph.tensors[t].data), graph.tensors[t].dtype)) for t in found}
    return {t: lut for t, lut in found.items() if lut.size + OVERHEAD < sizes[t]}


def encode(tensor: Tensor) -> Lut | None:
    """``tensor`` by table; None if it is no constant, or has more values than indices of 7 bits can tell apart."""
    values: np.ndarray
    channels = _channels(tensor.shape, tensor.quantization)
    if tensor.data is None or not tensor.data.size or tensor.dtype not in TYPES or channels is None:
        return None
    rows = _by_channel(tensor.data, channels, tensor.shape)
    found = [np.unique(row, return_inverse=True) for row in rows]
    most = max(len(values) for values, _ in found)
    bits = max(1, (most - 1).bit_length())
    if bits > MOST_BITS:
        return None
    values = np.zeros((len(rows), most), tensor.data.dtype)
    for row, (unique, _) in zip(values, found, strict=True):
        row[: len(unique)] = unique
    indices = _from_channels(np.stack([inverse.reshape(-1) for _, inverse in found]), channels, tensor.shape)
    return Lut(bits, pack_indices(indices, bits), pack(values, tensor.dtype))


def decode(lut: Lut, name: str, shape: tuple[int, ...], dtype: str, quantization: Quantization | None) -> np.ndarray:
    """The values of a tensor.

    Raises:
        InvalidModel: Indices or tables are of the wrong size, or an index points behind its table.
    """
    elements, channels = int(np.prod(shape, dtype=np.int64)), _channels(shape, quantization)
    size = np.dtype(STORAGE[dtype]).itemsize
    if dtype not in TYPES or channels is None or not 1 <= lut.bits <= MOST_BITS:
        raise InvalidModel(f"Tensor '{name}', {dtype}, cannot be stored by a table with indices of {lut.bits} bits.")
    rows = 1 if channels < 0 else shape[channels]
    stride = len(lut.values) // (size * max(1, rows))
    if len(lut.indices) != (elements * lut.bits + 7) // 8 or stride * size * rows != len(lut.values) or not stride:
        raise InvalidModel(
            f"Tensor '{name}': {elements} indices of {lut.bits} bits and {rows} tables must fit their buffers. "
            f"Received: {len(lut.indices)} and {len(lut.values)} bytes"
        )
    indices = unpack_indices(lut.indices, elements, lut.bits)
    if elements and indices.max() >= stride:
        raise InvalidModel(f"Tensor '{name}': index {indices.max()} points behind a table of {stride} values.")
    values: np.ndarray = np.frombuffer(lut.values, np.dtype(STORAGE[dtype]).newbyteorder("<")).astype(STORAGE[dtype])
    by_channel = np.take_along_axis(
        values.reshape(rows, stride), _by_channel(indices.reshape(shape), channels, shape), 1
    )
    data = _from_channels(by_channel, channels, shape)
    data.flags.writeable = False
    return data


def pack_indices(indices: np.ndarray, bits: int) -> bytes:
    """Indices (any shape) side by side, highest bit first."""
    places = np.arange(bits - 1, -1, -1, dtype=np.uint8)
    return np.packbits(indices.astype(np.uint8).reshape(-1, 1) >> places & 1).tobytes()


def unpack_indices(data: bytes, count: int, bits: int) -> np.ndarray:
    """The first ``count`` indices in ``data``, uint8."""
    digits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    places = np.arange(bits - 1, -1, -1, dtype=np.uint8)
    return np.bitwise_or.reduce(digits << places, axis=1).astype(np.uint8)


def _channels(shape: tuple[int, ...], grid: Quantization | None) -> int | None:
    """The axis with one table for each slice, -1 if one table serves all, None if there can be no table."""
    if grid is None or len(grid.scale) == 1:
        return -1
    return grid.axis if shape and grid.axis in (0, len(shape) - 1) else None


def _by_channel(data: np.ndarray, channels: int, shape: tuple[int, ...]) -> np.ndarray:
    """(tables, elements of each)."""
    if channels < 0:
        return data.reshape(1, -1)
    return np.moveaxis(data, channels, 0).reshape(shape[channels], -1)


def _from_channels(rows: np.ndarray, channels: int, shape: tuple[int, ...]) -> np.ndarray:
    if channels < 0:
        return rows.reshape(shape)
    others = [length for k, length in enumerate(shape) if k != channels]
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape[channels], *others), 0, channels))


def describe(buffers: Mapping[int, tuple[int, int]]) -> bytes:
    """The metadata for tensors -> (buffer with their values, bits of an index)."""
    builder = flatbuffers.Builder()
    entries = []
    for tensor, (values, bits) in sorted(buffers.items()):
        builder.StartObject(3)
        builder.PrependInt32Slot(0, tensor, 0)
        builder.PrependUint32Slot(1, values, 0)
        builder.PrependUint8Slot(2, bits, 0)
        entries.append(builder.EndObject())
    entries_vector = _vector(builder, entries)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, entries_vector, 0)
    subgraphs = _vector(builder, [builder.EndObject()])
    builder.StartObject(2)
    builder.PrependUint32Slot(0, VERSION, 0)
    builder.PrependUOffsetTRelativeSlot(1, subgraphs, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def parse(data: bytes) -> dict[int, tuple[int, int]]:
    """Tensor -> (buffer with its values, bits of an index).

    Raises:
        InvalidModel: The metadata is damaged, or of a version that is not known here.
    """
    root = File(data).root()
    if (version := root.number(0, "I", 1)) > VERSION:
        raise InvalidModel(f"Metadata '{KEY}' has schema version {version}; at most {VERSION} can be read.")
    subgraphs = list(root.children(1))
    entries = list(subgraphs[0].children(0)) if subgraphs else []
    found = {entry.number(0, "i"): (entry.number(1, "I"), entry.number(2, "B")) for entry in entries}
    if len(found) != len(entries) or len(subgraphs) > 1:
        raise InvalidModel(f"Metadata '{KEY}' must name each tensor of one subgraph once.")
    return found
