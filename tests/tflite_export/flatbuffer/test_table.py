import struct

import pytest

from tflite_export.flatbuffer import InvalidModel
from tflite_export.flatbuffer.table import CREDIT, MAX_CHILDREN, File


def file(vector=b"", slots=(4,), table_position=12, vtable_position=4):
    """Root offset, a vtable of one or two slots at 4, the table at 12 (its one field points at 20), a vector at 20."""
    vtable = struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), 8, *slots).ljust(8, b"\0")
    return struct.pack("<I", table_position) + vtable + struct.pack("<iI", 12 - vtable_position, 4) + vector


def test_a_vector_of_bytes_is_found():
    root = File(file(struct.pack("<I", 3) + b"abc")).root()
    assert bytes(root.blob(0)) == b"abc"
    assert root.text(0) == "abc"
    assert root.vector(0, "u1").tolist() == [97, 98, 99]


def test_an_absent_field_has_its_default():
    root = File(file(slots=(0,))).root()
    assert (root.number(0, "i", 7), root.number(9, "i", 7)) == (7, 7)
    assert root.blob(0) is None
    assert root.child(0) is None
    assert list(root.children(0)) == []
    assert root.vector(0, "<i4").size == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 3,
        b"\xff" * 64,
        file(table_position=2**31),
        file(vtable_position=200),
        file(vtable_position=-(2**20)),
        file(struct.pack("<I", 4) + b"abc"),
        file(struct.pack("<I", 2**32 - 1) + b"abc"),
        file(),
    ],
)
def test_nothing_is_read_outside_the_file(data):
    with pytest.raises(InvalidModel, match="truncated or damaged"):
        File(data).root().blob(0)


def test_a_list_of_absurd_length_is_refused_before_it_is_read():
    with pytest.raises(InvalidModel, match="at most"):
        next(File(file(struct.pack("<I", MAX_CHILDREN + 1))).root().children(0))


def test_the_same_bytes_are_not_handed_out_without_end():
    data = file(struct.pack("<I", 2**20) + bytes(2**20))
    root = File(data).root()
    for _ in range(CREDIT):
        root.vector(0, "u1")
    with pytest.raises(InvalidModel, match="over and over"):
        root.vector(0, "u1")


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(InvalidModel, match="UTF-8"):
        File(file(struct.pack("<I", 2) + b"\xff\xfe")).root().text(0)
