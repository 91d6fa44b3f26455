import os

import pytest

from tflite_export.files import write_atomically


def test_the_content_arrives_and_nothing_else_stays(tmp_path):
    target = tmp_path / "result.csv"
    write_atomically(target, b"old")
    write_atomically(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["result.csv"]


def test_a_failure_leaves_the_old_content(tmp_path, monkeypatch):
    target = tmp_path / "result.csv"
    write_atomically(target, b"old")

    def full(source, destination):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.csv"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "result.csv", b"")


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    ordinary, ours = tmp_path / "ordinary", tmp_path / "ours"
    ordinary.write_bytes(b"")
    write_atomically(ours, b"")
    assert ours.stat().st_mode == ordinary.stat().st_mode
    ours.chmod(0o600)
    write_atomically(ours, b"")
    assert ours.stat().st_mode & 0o777 == 0o600
