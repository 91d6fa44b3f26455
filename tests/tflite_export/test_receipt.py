import csv
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tflite_export.flatbuffer import InvalidModel, write
from tflite_export.receipt import COLUMNS, receipt


def row(result, name):
    (found,) = [r for r in result.rows if r["tensor"] == name]
    return found


def test_every_constant_has_a_row_with_what_it_holds(network):
    kernel = network.tensors[1].data
    found = row(receipt(write(network)), "conv/kernel")
    assert found == {
        "tensor": "conv/kernel",
        "op": "CONV_2D",
        "shape": [4, 3, 3, 3],
        "dtype": "int8",
        "bits": 4,
        "true_bits": 4,
        "distinct": 15,
        "elements": 108,
        "zeros": int(np.sum(kernel == 0)),
        "zeros_percent": round(100 * float(np.mean(kernel == 0)), 2),
        "pattern": "",
        "raw_bytes": 108,
        "entropy_bytes": found["entropy_bytes"],
        "zlib_bytes": len(zlib.compress(kernel.tobytes(), 9)),
        "shift_only": False,
        "lut_bits": None,
        "lut_bytes": 108,
    }
    assert 108 * 3.5 / 8 < found["entropy_bytes"] < 108 * 4 / 8 + 15 * 2


def test_zeros_and_patterns_are_found_in_the_codes(network):
    kernel = np.zeros((4, 3, 3, 8), np.int8)
    kernel[..., ::4] = 3
    shape = replace(network.tensors[0], shape=(1, 5, 5, 8))
    sparse = replace(network.tensors[1], shape=kernel.shape, data=kernel)
    found = row(receipt(write(replace(network, tensors=(shape, sparse, *network.tensors[2:])))), "conv/kernel")
    assert (found["pattern"], found["zeros_percent"], found["distinct"], found["true_bits"]) == ("1:4", 75.0, 2, 3)


def test_power_of_two_steps_are_seen(network):
    grid = replace(network.tensors[1].quantization, scale=np.float32([0.25, 0.5, 1, 2]))
    out = replace(network.tensors[3].quantization, scale=np.float32([4]))
    tensors = list(network.tensors)
    tensors[1] = replace(tensors[1], quantization=grid)
    tensors[3] = replace(tensors[3], quantization=out)
    tensors[5] = replace(tensors[5], quantization=out)
    assert row(receipt(write(replace(network, tensors=tuple(tensors)))), "conv/kernel")["shift_only"] is True


def test_packed_storage_counts_its_bytes(network):
    packed = replace(network.tensors[1], dtype="int4")
    tensors = (network.tensors[0], packed, *network.tensors[2:])
    found = row(receipt(write(replace(network, tensors=tensors))), "conv/kernel")
    assert (found["dtype"], found["raw_bytes"]) == ("int4", 54)
    assert found["entropy_bytes"] <= 54


def test_totals_count_shared_constants_once(network):
    blob = write(replace(network, tensors=(*network.tensors, replace(network.tensors[1], name="twin"))))
    result = receipt(blob)
    assert len(result.rows) == 4
    assert result.totals["raw_bytes"] == 108 + 16 + 8
    assert result.totals["elements"] == 108 + 4 + 2
    assert result.totals["file_bytes"] == len(blob)
    assert result.totals["file_zlib_bytes"] == len(zlib.compress(blob, 9))


def test_an_honest_file_is_ok_and_says_so(network):
    result = receipt(write(network))
    assert result.ok
    assert str(result).endswith("All 2 requests are delivered.")


def test_a_file_whose_codes_were_tampered_with_is_not_ok(network):
    blob = bytearray(write(network))
    codes = network.tensors[1].data.tobytes()
    start = bytes(blob).index(codes)
    blob[start : start + 40] = bytes(range(40, 80))
    result = receipt(bytes(blob))
    assert not result.ok
    assert "conv: kernel: 4 bits requested, 8 needed (int8)" in result.problems
    assert any("is declared to have 4 bits, but its codes need 8" in problem for problem in result.problems)
    assert "NOT delivered:" in str(result)


def test_a_file_that_asked_for_nothing_is_ok(network):
    result = receipt(write(replace(network, metadata={})))
    assert result.ok
    assert str(result).endswith("Nothing was asked for.")


def test_the_table_names_every_constant(network):
    lines = str(receipt(write(network))).splitlines()
    assert lines[0].split()[:5] == ["tensor", "read", "by", "shape", "type"]
    assert lines[1].split()[:5] == ["conv/kernel", "CONV_2D", "4x3x3x3", "int8", "4"]
    assert lines[2].split()[4:7] == ["4", "of", "32"]
    assert lines[4].startswith("all constants")


def test_rows_go_to_csv_and_everything_to_json(network, tmp_path):
    result = receipt(write(network))
    result.to_csv(tmp_path / "receipt.csv")
    result.to_json(tmp_path / "receipt.json")
    with open(tmp_path / "receipt.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [r["tensor"] for r in rows] == ["conv/kernel", "conv/bias", "flat/shape"]
    content = json.loads((tmp_path / "receipt.json").read_text(encoding="utf-8"))
    assert content["totals"] == result.totals
    assert content["requests"] == list(result.requests)


def test_what_is_no_model_is_one_clear_error():
    with pytest.raises(InvalidModel, match="Not a TFLite file"):
        receipt(b"nonsense")
