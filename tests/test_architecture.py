"""Imports run one way, and importing tfcompress is light: checked over the syntax trees and in a fresh process."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*ROOT.glob("tfcompress/**/*.py"), *ROOT.glob("tflite_export/**/*.py")])

FORBIDDEN = {
    "tfcompress": ["tensorflow", "tflite_export", "keras.src", "numba", "matplotlib", "ai_edge_litert"],
    "tfcompress/interop": ["tflite_export", "keras.src"],
    "tflite_export": ["keras.src", "tensorflow"],
    "tflite_export/flatbuffer": ["keras", "tensorflow", "tfcompress"],
    "tflite_export/interpreter": ["keras", "tensorflow", "tfcompress", "ai_edge_litert", "flatbuffers"],
    "tflite_export/npu": ["keras", "tensorflow", "tfcompress", "ai_edge_litert", "flatbuffers"],
}
"""What a folder must not import; the most specific entry counts."""


def imported(file: Path, top_level: bool = False) -> Iterator[str]:
    """Names of the modules that a file imports, relative imports excluded."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def starts(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_run_one_way(file: Path) -> None:
    folder = str(file.relative_to(ROOT))
    rules = next(FORBIDDEN[f] for f in sorted(FORBIDDEN, key=len, reverse=True) if folder.startswith(f"{f}/"))
    offending = [name for name in imported(file) if any(starts(name, module) for module in rules)]
    assert not offending, f"{folder} must not import {offending}"


def test_kernels_never_import_each_other() -> None:
    for file in (ROOT / "tflite_export/interpreter/kernels").glob("[!_]*.py"):
        siblings = [n for n in imported(file) if starts(n, "tflite_export.interpreter.kernels")]
        assert not siblings, f"{file.name} imports {siblings}"


def test_techniques_never_import_each_other() -> None:
    """What they share stands in files without a technique, that is, without a class that saved models name."""
    kinds = "quantization pruning weight_tying joint normalization gating convolution distillation"
    files = [f for kind in kinds.split() for f in (ROOT / "tfcompress" / kind).glob("[!_]*.py")]
    techniques = {f for f in files if "register_keras_serializable" in f.read_text(encoding="utf-8")}
    names = {".".join(f.relative_to(ROOT).with_suffix("").parts) for f in techniques}
    for file in files:
        siblings = names & {*imported(file)}
        assert not siblings, f"{file.relative_to(ROOT)} imports {siblings}"


def test_only_the_flatbuffer_folder_knows_the_schema() -> None:
    knowing = [f for f in FILES if any("schema_py_generated" in name for name in imported(f))]
    assert {f.parent.name for f in knowing} <= {"flatbuffer"}


@pytest.mark.parametrize(
    ("module", "granted", "absent"),
    [
        # Keras itself loads matplotlib where it is installed; tfcompress must not be what loads it.
        ("tfcompress", "keras", ["tensorflow_model_optimization", "tf_keras", "matplotlib", "numba"]),
        ("tflite_export", "numpy", ["tensorflow", "keras", "matplotlib"]),
        ("tflite_export.cli", "numpy", ["tensorflow", "keras", "matplotlib"]),
    ],
)
def test_importing_is_light(module: str, granted: str, absent: list[str]) -> None:
    code = f"import sys, {granted}; before = {{*sys.modules}}; import {module}; print(*({{*sys.modules}} - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {*absent} & {*loaded}, f"import {module} loads {absent}"
