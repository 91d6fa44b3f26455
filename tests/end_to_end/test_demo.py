"""The demo keeps what it promises: run as a user runs it, then read from the files that it wrote."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    code = "from tflite_export.cli import main; main(['demo'])"
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return folder / "out", result.stdout


@pytest.fixture(scope="module")
def rows(demo: tuple[Path, str]) -> dict[str, dict[str, Any]]:
    summary = json.loads((demo[0] / "summary.json").read_text())
    return {row["model"]: row for row in summary["rows"]}


def test_no_value_differs_from_the_reference_kernels(demo: tuple[Path, str]) -> None:
    assert "\n0 of 299,648 values differ from LiteRT's reference kernels" in demo[1]


def test_four_bits_stay_within_one_point_of_float(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["float"]["accuracy_percent"] > 97
    assert rows["4-bit, 70% zeros"]["accuracy_percent"] > rows["float"]["accuracy_percent"] - 1.0


def test_compression_shows_in_bytes_cycles_and_energy(rows: dict[str, dict[str, Any]]) -> None:
    plain, small = rows["int8"], rows["4-bit, 70% zeros"]
    assert small["entropy_coded_bytes"] < 0.3 * plain["entropy_coded_bytes"]
    assert small["cycles"] < 0.6 * plain["cycles"]
    assert small["energy_uj"] < 0.5 * plain["energy_uj"]


def test_every_file_is_there_and_whole(demo: tuple[Path, str]) -> None:
    assert sorted(f.name for f in demo[0].iterdir()) == ["model.tflite", "report.html", "summary.csv", "summary.json"]
    assert (demo[0] / "model.tflite").read_bytes()[4:8] == b"TFL3"
    assert (demo[0] / "report.html").read_text().rstrip().endswith("</html>")
    assert len((demo[0] / "summary.csv").read_text().splitlines()) == 4
