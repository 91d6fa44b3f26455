import shutil

import pytest

from tflite_export import npu
from tflite_export.npu.machine import FOLDER, energies

NAMES = [
    "balanced-16x16", "bit-serial", "bricks-16x16", "dual-core", "ethos-u55-32-like", "ethos-u55-64-like",
    "ethos-u55-128-like", "ethos-u55-256-like", "shift-16x16",
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
    size = int(name.split("-")[2 if "ethos" in name else 1]) if name[0] in "es" and "shift" not in name else 16
    assert machine.name == name
    assert machine.array.macs_per_cycle == (size if "ethos" in name else size * size)
    assert machine.macs_per_cycle == machine.array.macs_per_cycle * (2 if name == "dual-core" else 1)
    assert energies(machine).unchecked(machine.memory.sram_bank_bytes)


def test_a_machine_of_ones_own_is_a_path(own):
    machine = npu.load(own("rows = 16", "rows = 4"))
    assert (machine.name, machine.array.macs_per_cycle) == ("mine", 64)
    assert npu.load(machine) is machine


def test_an_unknown_name_lists_the_machines():
    with pytest.raises(ValueError, match=r"one of balanced-16x16, .*or the path of a .toml file. Received: tpu"):
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
        (
            'kind = "systolic"',
            'kind = "magic"',
            "`array` must be a table with `kind` 'systolic' or 'dot' or 'parallel'",
        ),
        ("output_stationary", "stationary", "`dataflow` must be one of 'output_stationary', 'weight_stationary'"),
        ("sram_bytes = 262_144", "sram_bytes = 0", "`memory`: `sram_bytes` must be an integer of at least 1"),
        ("sram_bank_bytes = 32_768", "sram_bank_bytes = 5", "`sram_bank_bytes` must be a size that energy table 45nm"),
        ('energy_table = "45nm"', 'energy_table = "3nm"', "`energy_table` must be one of 45nm, or the path"),
        (
            'weight_format = "dense"',
            'weight_format = "zip"',
            "`weight_format` must be one of 'dense', 'packed', 'bitmask'",
        ),
        ("clock_hz", "cores = 0\nclock_hz", "`cores` must be an integer of at least 1. Received: 0"),
        ("clock_hz", "winograd = 3\nclock_hz", "`winograd` must be one of 0, 2, 4. Received: 3"),
        ("clock_hz", "static_pj_per_cycle = -1\nclock_hz", "`static_pj_per_cycle` must be a number of at least 0"),
        ("clock_hz", 'weight_zeros = "skipped"\nclock_hz', '`weight_zeros` can be "skipped" by an array of kind'),
        ("[vector]", "[decoder]\nbits_per_cycle = 8\n[vector]", "`decoder`: key `symbols_per_cycle` is missing"),
        ("rows = 16", 'multiplier = "magic"\nrows = 16', "`multiplier` must be one of 'fixed', 'binned', 'bricks'"),
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


def write(path, text):
    path.write_text(text)
    return path


def test_a_machine_of_ones_own_starts_from_another(tmp_path):
    write(tmp_path / "deep.toml", 'base = "balanced-16x16"\ndescription = "deep queues"\n[array]\nqueue_depth = 8\n')
    deeper = write(tmp_path / "deeper.toml", 'base = "deep.toml"\nwinograd = 2\n[memory]\nsram_bytes = 9999\n')
    machine, base = npu.load(deeper), npu.load("balanced-16x16")
    assert (machine.name, machine.description, machine.winograd) == ("deeper", "deep queues", 2)
    assert (machine.array.queue_depth, machine.array.columns) == (8, 16)
    assert (machine.memory.sram_bytes, machine.memory.dram_bytes_per_cycle) == (9999, base.memory.dram_bytes_per_cycle)


def test_an_array_of_another_kind_replaces_that_of_the_base(tmp_path):
    array = '[array]\nkind = "parallel"\nrows = 2\ncolumns = 3\nlanes = 4\nmultiplier_bits = 8\n'
    machine = npu.load(write(tmp_path / "a.toml", f'base = "systolic-16-os"\n{array}'))
    assert (machine.array.KIND, machine.macs_per_cycle) == ("parallel", 24)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "a.toml"', "machine file a.toml must not be its own base"),
        ('base = "tpu"', "machine file a.toml: `base` must be one of balanced-16x16, "),
        (
            'base = "balanced-16x16"\n[array]\nlanes = 3',
            "`group_taps` must be a multiple of `lanes`. Received: 16 and 3",
        ),
        ('base = "balanced-16x16"\n[array]\nqueue_dept = 3', "`array`: unknown key `queue_dept`"),
    ],
)
def test_nonsense_on_top_of_a_base_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError) as error:
        npu.load(write(tmp_path / "a.toml", text))
    assert message in str(error.value)


def test_a_machine_that_shifts_needs_the_energy_of_a_shift(tmp_path):
    entry = 'pj = 1.0\nchecked = true\nsource = "measured"\n'
    tables = "".join(f"[{t}]\n{entry}" for t in ["int8_mult", "int32_add", "dram_32b", "sram_64b.32768"])
    write(tmp_path / "e.toml", 'description = "t"\n' + tables)
    with pytest.raises(ValueError, match=r"energy table .*e\.toml must have `int8_shift`"):
        npu.load(write(tmp_path / "a.toml", 'base = "shift-16x16"\nenergy_table = "e.toml"'))
