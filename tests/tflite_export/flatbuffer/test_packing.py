import numpy as np
import pytest

from tflite_export.flatbuffer.packing import byte_count, pack, unpack
from tflite_export.ir import STORAGE


def test_four_bit_codes_fill_the_low_nibble_first():
    assert pack(np.array([1, -2, 3], np.int8), "int4") == bytes([0xE1, 0x03])


def test_two_bit_codes_fill_the_lowest_bits_first():
    assert pack(np.array([1, -2, -1, 0, 1], np.int8), "int2") == bytes([0b00_11_10_01, 0b01])


@pytest.mark.parametrize("dtype", STORAGE)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64])
def test_unpacking_reverses_packing(dtype, count):
    rng = np.random.default_rng(count)
    values = rng.integers(0, 256, 8 * count, np.uint8).view(STORAGE[dtype] if dtype != "bool" else np.uint8)[:count]
    limits = {"int4": (-8, 8), "int2": (-2, 2), "bool": (0, 2)}
    if dtype in limits:
        values = rng.integers(*limits[dtype], count).astype(STORAGE[dtype])
    data = pack(values, dtype)
    assert len(data) == byte_count(count, dtype)
    assert unpack(data, count, dtype).tobytes() == values.tobytes()


def test_rows_are_packed_without_gaps():
    assert pack(np.array([[1, 2, 3], [4, 5, 6]], np.int8), "int4") == bytes([0x21, 0x43, 0x65])


def test_unpacked_constants_cannot_be_written_to():
    for dtype in ("int8", "int4"):
        with pytest.raises(ValueError, match="read-only"):
            unpack(b"\x01\x02", 2, dtype)[0] = 1
