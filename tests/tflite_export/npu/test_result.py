import csv
import json

import numpy as np
import pytest

from tflite_export.npu import estimate

from .graphs import Net, small


@pytest.fixture(scope="module")
def found():
    return estimate(small(density=0.3))


def test_the_table_has_a_line_a_layer_and_one_of_totals(found):
    lines = str(found).splitlines()
    assert lines[0].startswith("ethos-u55-128-like: dot engine")
    assert [line.split()[0] for line in lines[4:11]] == ["c1", "c2", "c3", "c4", "c5", "mean", "fc"]
    assert lines[12].split()[:2] == ["total", f"{found.totals['cycles_total']:,}"]


def test_the_summary_says_time_use_bytes_and_energy_in_parts(found):
    text, t = str(found), found.totals
    assert f"{t['cycles_total']:,} cycles = {t['cycles_total'] / 500:,.1f} us at 500 MHz" in text
    assert f"{t['dram_read_bytes']:,} B read" in text
    assert f"MAC {t['energy_mac_pj'] / 1e6:.3f} + SRAM {t['energy_sram_pj'] / 1e6:.3f}" in text


def test_energies_that_were_not_looked_up_are_marked_everywhere(found, tmp_path):
    mark = "relative; unverified: int8_mult, dram_32b, sram_64b.32768"
    found.to_csv(tmp_path / "a.csv")
    found.to_json(tmp_path / "a.json")
    for text in (str(found), (tmp_path / "a.csv").read_text(), (tmp_path / "a.json").read_text()):
        assert mark in text


def test_csv_holds_the_rows_with_units_tool_and_machine(found, tmp_path):
    found.to_csv(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == [row["layer"] for row in found.rows]
    assert sum(int(row["cycles_total"]) for row in rows) == found.totals["cycles_total"]
    assert {row["machine"] for row in rows} == {"ethos-u55-128-like"}
    assert all(row["tool"].startswith("tfcompress") for row in rows)


def test_json_holds_everything_the_numbers_rest_on(found, tmp_path):
    found.to_json(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["rows"] == found.rows
    assert content["totals"] == found.totals
    assert content["machine"]["array"]["kind"] == "dot"
    assert content["energy_table"]["int32_add"]["pj"] == 0.1


def test_a_file_that_cannot_be_written_leaves_nothing(found, tmp_path):
    with pytest.raises(OSError):
        found.to_csv(tmp_path / "none" / "a.csv")
    assert not list(tmp_path.iterdir())


def test_counted_zeros_get_a_column():
    net = Net(1, 4).op("RELU", (1, 4)).graph()
    lines = str(estimate(net, data=np.zeros((2, 4), np.int8))).splitlines()
    assert lines[2].endswith("zeros in")
    assert lines[4].endswith("100%")


def test_a_graph_without_ops_costs_nothing(tmp_path):
    empty = estimate(Net(1, 4).graph())
    assert (empty.rows, empty.totals["cycles_total"], empty.totals["utilisation"]) == ([], 0, 0.0)
    assert "0 cycles" in str(empty)
    empty.to_csv(tmp_path / "empty.csv")


def test_long_names_are_cut_in_front():
    name = "block_1/" * 10 + "conv"
    assert "..." + name[-29:] in str(estimate(Net(1, 4, 4, 1).conv(1, name=name).graph()))
