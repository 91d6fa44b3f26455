"""README.md: its program runs as it stands, and its tables are those of the results."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_twelve_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    convolution = [layers.Conv2D(8, 3, use_bias=False), layers.BatchNormalization(momentum=0.8), layers.ReLU()]
    head = [layers.Flatten(), layers.Dense(4, activation="softmax")]
    keras.Sequential([keras.Input((12, 12, 3)), *convolution, *head]).save("model.keras")
    rng = np.random.default_rng(0)
    images, labels = rng.random((256, 12, 12, 3), np.float32), rng.integers(0, 4, 256)
    names = {"x_train": images, "y_train": labels, "x_test": images[:64], "y_test": labels[:64]}
    program = re.search(r"## Twelve lines\n+```python\n(.*?)```", README, re.DOTALL).group(1)
    exec(compile(program, "README.md", "exec"), names)
    assert len([line for line in program.splitlines() if line.strip()]) <= 14
    assert "\n0 of " in capsys.readouterr().out


def test_the_tables_are_those_of_the_results() -> None:
    subprocess.run([sys.executable, "benchmarks/tables.py", "--check"], cwd=ROOT, check=True)
