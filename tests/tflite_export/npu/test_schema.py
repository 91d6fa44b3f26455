from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from tflite_export.npu import schema
from tflite_export.npu.schema import Amount, Count, Natural


@dataclass(frozen=True)
class Inner:
    KIND: ClassVar[str] = "inner"
    size: Count


@dataclass(frozen=True)
class Other:
    KIND: ClassVar[str] = "other"
    rate: float


@dataclass(frozen=True)
class Outer:
    wait: Natural
    mode: Literal["a", 2]
    flag: bool
    part: Inner | Other
    many: Mapping[str, Inner]
    extra: Inner | None = None
    loss: Amount = 0.0


GOOD = {"wait": 0, "mode": 2, "flag": True, "part": {"kind": "other", "rate": 3}, "many": {"x": {"size": 1}}}


def test_tables_become_dataclasses():
    assert schema.build(Outer, GOOD, "file") == Outer(0, 2, True, Other(3.0), {"x": Inner(1)})


def test_keys_with_a_default_may_be_left_out():
    assert schema.build(Outer, {**GOOD, "extra": {"size": 2}, "loss": 0}, "file").extra == Inner(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"other": 1}, "file: unknown key `other`. Known keys: wait, mode, flag, part, many, extra, loss"),
        ({"wait": -1}, "file: `wait` must be an integer of at least 0. Received: -1"),
        ({"extra": 1}, "file: `extra` must be a table with the keys size. Received: 1"),
        ({"loss": -0.5}, "file: `loss` must be a number of at least 0. Received: -0.5"),
        ({"wait": True}, "file: `wait` must be an integer of at least 0. Received: True"),
        ({"wait": 1.0}, "file: `wait` must be an integer of at least 0. Received: 1.0"),
        ({"mode": "b"}, "file: `mode` must be one of 'a', 2. Received: 'b'"),
        ({"mode": 2.0}, "file: `mode` must be one of 'a', 2. Received: 2.0"),
        ({"flag": 1}, "file: `flag` must be of type bool. Received: 1"),
        ({"part": {"kind": "no"}}, "file: `part` must be a table with `kind` 'inner' or 'other'. Received: kind='no'"),
        ({"part": {"kind": "inner", "size": 0}}, "file: `part`: `size` must be an integer of at least 1. Received: 0"),
        ({"part": {"kind": "inner"}}, "file: `part`: key `size` is missing. Required keys: size"),
        ({"part": {"kind": "other", "rate": 0}}, "file: `part`: `rate` must be a number above 0. Received: 0"),
        ({"part": {"kind": "other", "rate": float("inf")}}, "`rate` must be a number above 0. Received: inf"),
        ({"many": 3}, "file: `many` must be a table. Received: 3"),
        ({"many": {"x": 3}}, "file: `many`: `x` must be a table with the keys size. Received: 3"),
    ],
)
def test_nonsense_is_refused_with_the_place_and_the_value(change, message):
    with pytest.raises(ValueError) as error:
        schema.build(Outer, {**GOOD, **change}, "file")
    assert message in str(error.value)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("clock_hz = = 3")
    with pytest.raises(ValueError, match=r"bad\.toml is not a TOML file: .*line 1"):
        schema.read(path)
