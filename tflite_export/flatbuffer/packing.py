"""Constants as the bytes of a buffer. ``int4`` and ``int2`` share bytes, the first value in the lowest bits.

The flattened tensor is packed without gaps: a row of odd length ends in the middle of a byte.
"""

import numpy as np

from tflite_export.ir import STORAGE

WIDTHS = {"int4": 4, "int2": 2, "bool": 8}
"""Bits of one stored value where NumPy's item size does not tell."""


def width(dtype: str) -> int:
    """Bits of one stored value."""
    return WIDTHS.get(dtype, 8 * np.dtype(STORAGE[dtype]).itemsize)


def byte_count(elements: int, dtype: str) -> int:
    """Bytes that so many values take."""
    return (elements * width(dtype) + 7) // 8


def pack(values: np.ndarray, dtype: str) -> bytes:
    """The bytes of ``values`` (``STORAGE[dtype]``, any shape), little-endian."""
    bits = width(dtype)
    if bits >= 8:
        return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    per_byte = 8 // bits
    codes = np.zeros(-(-values.size // per_byte) * per_byte, np.uint8)
    codes[: values.size] = values.ravel().astype(np.uint8) & (2**bits - 1)
    places = np.arange(per_byte, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(codes.reshape(-1, per_byte) << places, axis=1).astype(np.uint8).tobytes()


def unpack(data: memoryview | bytes, elements: int, dtype: str) -> np.ndarray:
    """The first ``elements`` values in ``data``, flat and read-only; a view of ``data`` where no unpacking is due."""
    bits = width(dtype)
    values: np.ndarray
    if bits >= 8:
        stored = np.frombuffer(data, np.dtype(STORAGE[dtype]).newbyteorder("<"), elements)
        values = np.require(stored.astype(STORAGE[dtype], copy=False), requirements="A")
    else:
        places = np.arange(0, 8, bits, dtype=np.uint8)
        codes = (np.frombuffer(data, np.uint8)[:, None] >> places).ravel()[:elements]
        codes <<= 8 - bits
        values = codes.view(np.int8) >> (8 - bits)
    values.flags.writeable = False
    return values
