"""The form of TensorFlow Lite Micro's compression, by the examples of its document and through whole files."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_export.flatbuffer import InvalidModel, canonical, compress_lut, read, stored_tables, write
from tflite_export.flatbuffer.lut import KEY, Lut, decode, describe, encode, pack_indices, parse, tables, unpack_indices
from tflite_export.interpreter import Interpreter
from tflite_export.ir import STORAGE, Quantization, Tensor
from tflite_export.receipt import receipt


def grid(count, axis=0):
    return Quantization(np.full(count, 0.5, np.float32), np.zeros(count, np.int64), axis)


def constant(data, dtype="int8", quantization=None):
    data = np.asarray(data, STORAGE[dtype])
    return Tensor("w", data.shape, dtype, quantization, data)


def test_indices_lie_as_in_the_documents_example():
    assert pack_indices(np.array([7, 0, 3, 2]), 3) == bytes([0b11100001, 0b10100000])
    assert unpack_indices(bytes([0b11100001, 0b10100000]), 4, 3).tolist() == [7, 0, 3, 2]


def test_a_bitstring_and_tables_in_any_order_are_read_as_in_the_documents_example():
    table = np.array([99, 2, 10, 4, 1, 7], "<i2").tobytes()
    string = int("00101101101010010100001000101100", 2).to_bytes(4, "big")
    data = decode(Lut(3, string, table), "w", (10,), "int16", None)
    assert data.tolist() == [2, 4, 4, 10, 1, 7, 99, 10, 2, 4]


def test_tables_of_channels_are_read_as_in_the_documents_example():
    table = np.array([1, 10, 2, 4, 0, 99, 10, 2, 7, 4], "<i2").tobytes()
    string = int("01001101100100001100000101010000", 2).to_bytes(4, "big")
    data = decode(Lut(3, string, table), "w", (2, 5), "int16", grid(2))
    assert data.tolist() == [[2, 4, 4, 10, 1], [7, 99, 10, 2, 4]]


def test_an_encoded_tensor_has_sorted_tables_padded_with_zeros():
    lut = encode(constant([[5, 5, -3], [2, 2, 2]], quantization=grid(2)))
    assert (lut.bits, lut.values) == (1, bytes([256 - 3, 5, 2, 0]))
    assert lut.indices == bytes([0b11000000])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(["int8", "int16", "int32", "int64", "float32"]),
    st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    st.integers(1, 128),
    st.sampled_from(["tensor", "first", "last"]),
    st.integers(0, 2**32 - 1),
)
def test_what_is_encoded_is_what_is_decoded(dtype, shape, distinct, axis, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2**7), 2**7, distinct)
    axis = {"tensor": None, "first": 0, "last": len(shape) - 1}[axis]
    scales = None if axis is None else grid(shape[axis], axis)
    tensor = constant(rng.choice(values, shape), dtype, scales)
    lut = encode(tensor)
    np.testing.assert_array_equal(decode(lut, "w", shape, dtype, scales), tensor.data)
    assert len(lut.indices) == -(-tensor.data.size * lut.bits // 8)


@pytest.mark.parametrize(
    "tensor",
    [
        constant(np.arange(-128, 127)),
        constant([1, 1], "int4"),
        constant(np.ones((2, 3, 4)), quantization=grid(3, axis=1)),
        Tensor("x", (3,), "int8"),
    ],
    ids=["129 values", "packed", "channels in the middle", "no constant"],
)
def test_other_tensors_have_no_table(tensor):
    assert encode(tensor) is None


def test_the_metadata_says_which_buffers():
    assert parse(describe({3: (7, 4), 1: (9, 1)})) == {3: (7, 4), 1: (9, 1)}


def test_a_newer_metadata_is_refused():
    blob = bytearray(describe({3: (7, 4)}))
    position = bytes(blob).index((1).to_bytes(4, "little"))
    candidates = [k for k in range(len(blob) - 3) if blob[k : k + 4] == b"\1\0\0\0"]
    for position in candidates:
        damaged = bytes(blob[:position] + b"\2\0\0\0" + blob[position + 4 :])
        try:
            parse(damaged)
        except InvalidModel as error:
            if "schema version 2; at most 1" in str(error):
                return
    pytest.fail("no version was found")


@pytest.fixture
def wide(network):
    """``network`` with a kernel that is worth a table: 8 channels of 4 values each."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.choice(rng.choice(np.arange(-7, 8), 4, replace=False), (3, 3, 40)) for _ in range(4)])
    shape = replace(network.tensors[0], shape=(1, 5, 5, 40))
    kernel = replace(network.tensors[1], shape=codes.shape, data=codes.astype(np.int8))
    return replace(network, tensors=(shape, kernel, *network.tensors[2:]))


def test_a_compressed_file_is_smaller_and_runs_equally(wide):
    plain = write(wide)
    small = compress_lut(plain)
    assert len(small) < len(plain) - 900
    assert read(small) == canonical(wide)
    x = np.random.default_rng(1).integers(-128, 128, (3, 5, 5, 40)).astype(np.int8)
    np.testing.assert_array_equal(*(Interpreter(model_content=blob).predict(x) for blob in (plain, small)))


def test_only_what_wins_is_compressed(wide):
    assert set(tables(wide)) == {1}
    ((index, lut),) = stored_tables(compress_lut(write(wide))).items()
    assert (index, lut.bits, lut.size) == (1, 2, 1440 * 2 // 8 + 4 * 4)


def test_compressing_twice_changes_nothing(wide):
    small = compress_lut(write(wide))
    assert compress_lut(small) == small


def test_the_receipt_tells_what_a_table_takes_and_what_it_would(wide):
    before, after = (receipt(blob) for blob in (write(wide), compress_lut(write(wide))))
    assert [(r.rows[0]["raw_bytes"], r.rows[0]["lut_bytes"], r.rows[0]["lut_bits"]) for r in (before, after)] == [
        (1440, 376, None),
        (376, 376, 2),
    ]
    assert "Tables of values store 1 of 3 constants." in str(after)
    assert after.ok


def test_a_file_without_such_weights_is_refused(network):
    with pytest.raises(ValueError, match="must find a weight .* smaller by a table"):
        compress_lut(write(network))


def damaged(wide, edit):
    """The compressed file with its one table changed before writing."""
    return write(wide, {t: edit(lut) for t, lut in tables(wide).items()})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lut: replace(lut, bits=8), "indices of 8 bits"),
        (lambda lut: replace(lut, bits=0), "indices of 0 bits"),
        (lambda lut: replace(lut, bits=3), "must fit their buffers"),
        (lambda lut: replace(lut, indices=lut.indices[:-1]), "must fit their buffers"),
        (lambda lut: replace(lut, values=lut.values[:-1]), "must fit their buffers"),
        (lambda lut: replace(lut, values=lut.values[:8]), "points behind a table of 2 values"),
        (lambda lut: replace(lut, values=b""), "must fit their buffers"),
    ],
)
def test_damaged_tables_are_one_clear_error(wide, edit, message):
    with pytest.raises(InvalidModel, match=message):
        read(damaged(wide, edit))


def test_metadata_that_points_outside_is_one_clear_error(wide):
    graph = replace(wide, metadata={KEY: describe({99: (1, 2)})})
    with pytest.raises(InvalidModel, match="refers to tensor 99"):
        read(write(graph))
    graph = replace(wide, metadata={KEY: describe({1: (99, 2)})})
    with pytest.raises(InvalidModel, match="refers to buffer 99"):
        read(write(graph))
