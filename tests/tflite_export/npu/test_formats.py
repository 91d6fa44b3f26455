import numpy as np
import pytest

from tflite_export.npu.formats import Stream, streams


def found(codes, entropy_bytes=10**6):
    codes = np.asarray(codes, np.int8)
    return streams(codes, codes.size, entropy_bytes)


def test_sizes_of_a_hand_counted_tensor():
    # 16 weights of 4 bits, 4 of them not zero, one in each four neighbours; codes 0, 5, -6
    codes = np.zeros((1, 16), np.int8)
    codes[0, [1, 4, 11, 14]] = [5, -6, 5, 5]
    coded = found(codes, entropy_bytes=9)
    assert coded["dense"] == Stream(16, 16, 16)
    assert coded["packed"] == Stream(16 * 4 // 8, 16, 16)
    assert coded["bitmask"] == Stream((16 + 4 * 4) // 8, 16, 4)
    assert coded["run_length"] == Stream(4 * (4 + 4) // 8, 4, 4)
    assert coded["codebook"] == Stream(16 * 2 // 8 + 3, 16, 16)
    assert coded["n_m"] == Stream(4 * (4 + 2) // 8, 4, 4)
    assert coded["entropy"] == Stream(9, 16, 16)


def test_long_runs_of_zeros_need_markers():
    codes = np.zeros(100, np.int8)
    codes[[40, 57]] = 1  # 40 zeros: two markers of 16; then 16: one more
    assert found(codes)["run_length"].symbols == 2 + 2 + 1


def test_the_shorter_of_several_patterns_is_taken():
    codes = np.zeros((4, 16), np.int8)
    codes[:, :2] = 7  # 2:4 would store 8 of 16, 2:8 and 2:16 fewer
    assert found(codes)["n_m"].symbols == 4 * 2


@pytest.mark.parametrize("name", ["bitmask", "run_length", "n_m", "entropy"])
def test_what_would_grow_is_stored_as_it_is(name):
    codes = np.arange(-120, 120, dtype=np.int8).reshape(1, -1)
    codes[codes == 0] = 1
    assert found(codes)[name] == Stream(240, 240, 240)


def test_the_codebook_stores_indices_and_its_values():
    codes = np.random.default_rng(0).choice(np.array([-64, -1, 2, 32], np.int8), 1000)
    assert found(codes)["codebook"].nbytes == 250 + 4


def test_an_empty_tensor_takes_nothing():
    assert found(np.zeros((0, 4), np.int8))["bitmask"].nbytes == 0
