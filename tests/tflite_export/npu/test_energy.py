import pytest

from tflite_export.npu import energy
from tflite_export.npu.work import Arithmetic


@pytest.fixture(scope="module")
def table():
    return energy.load("45nm")


def test_energy_of_one_operation_of_each_kind(table):
    assert table.mac_pj(8, 8) == pytest.approx(0.2 + 0.1)
    assert table.mac_pj(16, 8) == pytest.approx(0.4 + 0.1)
    assert table.sram_pj(8192) == pytest.approx(10 / 8)
    assert table.dram_pj() == pytest.approx(640 / 4)


def test_energy_of_what_an_array_switches(table):
    assert table.array_pj(Arithmetic(products=10, sums=10)) == pytest.approx(10 * table.mac_pj(8, 8))
    assert table.array_pj(Arithmetic(products=10, sums=20, bits=(4, 4))) == pytest.approx(10 * 0.05 + 20 * 0.1)
    assert table.array_pj(Arithmetic(sums=5, shifts=5, bits=(8, 16))) == pytest.approx(5 * 0.1 + 5 * 0.048)


def test_numbers_that_were_not_looked_up_are_named(table):
    assert table.unchecked(32_768) == ["int8_mult", "dram_32b", "sram_64b.32768"]
    assert table.unchecked(32_768, shifts=True)[-1] == "int8_shift"
    assert table.unchecked(8192) == ["int8_mult", "dram_32b"]


def test_every_number_has_a_source(table):
    entries = [table.int8_mult, table.int32_add, table.dram_32b, *table.sram_64b.values()]
    assert "ShiftAddNet" in table.int8_shift.source
    assert all("ISSCC 2014" in entry.source for entry in entries)


def test_an_unknown_table_lists_what_ships():
    with pytest.raises(ValueError, match=r"must be one of 45nm, or the path of a .toml file. Received: 7nm"):
        energy.load("7nm")
