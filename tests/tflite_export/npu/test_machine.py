import shutil

import pytest

from tflite_export import npu
from tflite_export.npu.machine import FOLDER, energies

NAMES = [
    "ethos-u55-64-like", "ethos-u55-128-like", "ethos-u55-256-like",
    "systolic-16-os", "systolic-16-ws", "systolic-32-os", "systolic-32-ws",
]  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """A user's machine file and a function that rewrites it."""
    path = tmp_path / "mine.toml"
    shutil.copy(FOLDER / "systolic-16-os.toml", path)

    def change(old, new):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return path

    change("description", "description")
    return change


def test_machines_lists_all_with_one_line_each():
    assert list(npu.machines()) == NAMES
    assert all(text and "\n" not in text for text in npu.machines().values())


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_the_rate_of_a_shipped_machine(name):
    machine = npu.load(name)
    size = int(name.split("-")[-2])
    assert machine.name == name
    assert machine.array.macs_per_cycle == (size if "ethos" in name else size * size)
    assert energies(machine).unchecked(machine.memory.sram_bank_bytes)


def test_a_machine_of_ones_own_is_a_path(own):
    machine = npu.load(own("rows = 16", "rows = 4"))
    assert (machine.name, machine.array.macs_per_cycle) == ("mine", 64)
    assert npu.load(machine) is machine


def test_an_unknown_name_lists_the_machines():
    with pytest.raises(ValueError, match=r"one of ethos-u55-64-like, .*or the path of a .toml file. Received: tpu"):
        npu.load("tpu")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        npu.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 16", "rows = -16", "machine file mine.toml: `array`: `rows` must be an integer of at least 1"),
        ("rows = 16", "rowz = 16", "machine file mine.toml: `array`: unknown key `rowz`"),
        ("rows = 16\n", "", "machine file mine.toml: `array`: key `rows` is missing"),
        ('kind = "systolic"', 'kind = "magic"', "`array` must be a table with `kind` 'systolic' or 'dot'"),
        ("output_stationary", "stationary", "`dataflow` must be one of 'output_stationary', 'weight_stationary'"),
        ("sram_bytes = 262_144", "sram_bytes = 0", "`memory`: `sram_bytes` must be an integer of at least 1"),
        ("sram_bank_bytes = 32_768", "sram_bank_bytes = 5", "`sram_bank_bytes` must be a size that energy table 45nm"),
        ('energy_table = "45nm"', 'energy_table = "3nm"', "`energy_table` must be one of 45nm, or the path"),
        ("buffers = 2", "buffers = 3", "`memory`: `buffers` must be one of 1, 2. Received: 3"),
    ],
)
def test_nonsense_in_a_machine_file_is_refused(own, old, new, message):
    with pytest.raises(ValueError) as error:
        npu.load(own(old, new))
    assert message in str(error.value)


def test_an_energy_table_of_ones_own_lies_beside_the_machine(own, tmp_path):
    path = own('energy_table = "45nm"', 'energy_table = "tiny.toml"')
    entry = 'pj = 1.0\nchecked = true\nsource = "measured"\n'
    tables = ["int8_mult", "int32_add", "dram_32b", "sram_64b.32768"]
    (tmp_path / "tiny.toml").write_text('description = "t"\n' + "".join(f"[{t}]\n{entry}" for t in tables))
    assert energies(npu.load(path)).mac_pj(8, 8) == 2.0
