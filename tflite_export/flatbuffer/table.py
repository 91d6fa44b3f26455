"""Tables, vectors and strings of a flatbuffer, with every index checked before it is followed.

A file from a stranger may point anywhere, claim any length, and point at the same bytes a million times.
So every position is compared with the end of the file, and everything handed out is paid for from a
*credit* of a few times the file's size: what a file makes us allocate stays in proportion to it.

Format: https://flatbuffers.dev/internals. A table starts with the distance back to its vtable; the vtable holds
its own size, the table's size, and per field (``slot``) the offset inside the table, 0 if absent.
"""

import struct
from collections.abc import Iterator

import numpy as np

from tflite_export.flatbuffer.errors import InvalidModel

CREDIT = 8
"""Bytes handed out for each byte of the file."""

MAX_CHILDREN = 1 << 17
"""Most tables in one vector: tensors, ops, buffers."""


class File:
    """The bytes of a file and the credit that is left."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.credit = CREDIT * len(data) + 65536

    def number(self, code: str, position: int) -> int:
        """The little-endian number of struct type ``code`` at ``position``."""
        if not 0 <= position <= len(self.data) - struct.calcsize(code):
            raise InvalidModel(
                f"The file is truncated or damaged: it refers to byte {position:,} of {len(self.data):,}."
            )
        return struct.unpack_from("<" + code, self.data, position)[0]

    def span(self, position: int, size: int) -> memoryview:
        """``size`` bytes at ``position``."""
        if position < 0 or size < 0 or position + size > len(self.data):
            raise InvalidModel(
                f"The file is truncated or damaged: it refers to {size:,} bytes at {position:,} of {len(self.data):,}."
            )
        return self.data[position : position + size]

    def pay(self, size: int) -> None:
        """Takes ``size`` bytes off the credit."""
        self.credit -= size
        if self.credit < 0:
            raise InvalidModel("The file is damaged: it refers to the same bytes over and over.")

    def root(self) -> "Table":
        """The root table."""
        return Table(self, self.number("I", 0))


class Table:
    """One table; ``slot`` numbers are those of the schema's field ids."""

    def __init__(self, file: File, position: int) -> None:
        file.pay(16)
        self.file, self.position = file, position
        self.vtable = position - file.number("i", position)
        self.slots = file.number("H", self.vtable) // 2 - 2
        file.span(self.vtable, 2 * self.slots + 4 if self.slots >= 0 else -1)

    def find(self, slot: int) -> int | None:
        """Where the field lies, or None if it is absent."""
        offset = self.file.number("H", self.vtable + 4 + 2 * slot) if slot < self.slots else 0
        return self.position + offset if offset else None

    def number(self, slot: int, code: str, default: int = 0) -> int:
        """A scalar field."""
        position = self.find(slot)
        return default if position is None else self.file.number(code, position)

    def child(self, slot: int) -> "Table | None":
        """A field that is a table."""
        position = self._follow(slot)
        return None if position is None else Table(self.file, position)

    def children(self, slot: int) -> Iterator["Table"]:
        """A field that is a vector of tables."""
        position = self._follow(slot)
        if position is None:
            return
        count = self.file.number("I", position)
        if count > MAX_CHILDREN:
            raise InvalidModel(f"The file claims a list of {count:,} tables; at most {MAX_CHILDREN:,} are accepted.")
        for index in range(count):
            where = position + 4 + 4 * index
            yield Table(self.file, where + self.file.number("I", where))

    def blob(self, slot: int) -> memoryview | None:
        """A field that is a vector of bytes, not paid for since nothing is copied."""
        position = self._follow(slot)
        return None if position is None else self.file.span(position + 4, self.file.number("I", position))

    def vector(self, slot: int, dtype: str) -> np.ndarray:
        """A field that is a vector of numbers; empty if absent."""
        position = self._follow(slot)
        if position is None:
            return np.empty(0, dtype)
        size = self.file.number("I", position) * np.dtype(dtype).itemsize
        self.file.pay(size)
        return np.frombuffer(self.file.span(position + 4, size), dtype).copy()

    def text(self, slot: int) -> str:
        """A field that is a string; empty if absent."""
        data = self.blob(slot) or b""
        self.file.pay(len(data))
        try:
            return bytes(data).decode()
        except UnicodeDecodeError as error:
            raise InvalidModel(f"The file is damaged: a name is not UTF-8 text ({error.reason}).") from None

    def _follow(self, slot: int) -> int | None:
        position = self.find(slot)
        return None if position is None else position + self.file.number("I", position)
