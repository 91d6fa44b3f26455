"""The command line: what a user sees when things are right, and when they are not."""

from pathlib import Path

import numpy as np
import pytest

from tflite_export import cli
from tflite_export.flatbuffer import read, write
from tflite_export.ir import Graph, Op, Quantization, Tensor


def grid(scale: float, zero_point: int = 0) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))


def small_graph(kind: str = "RELU") -> Graph:
    tensors = (Tensor("x", (1, 4, 4, 2), "int8", grid(0.1)), Tensor("y", (1, 4, 4, 2), "int8", grid(0.1)))
    return Graph(tensors, (Op(kind, (0,), (1,)),), (0,), (1,))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(write(small_graph()))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).standard_normal((3, 4, 4, 2)).astype(np.float32))
    return path


@pytest.mark.parametrize("command", ["inspect", "verify", "estimate"])
def test_a_command_prints_a_table_of_the_file(command: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, str(model)]) == 0
    assert capsys.readouterr().out.strip()


def test_verify_says_that_nothing_differs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(model), "--samples=2"]) == 0
    assert "0 of 64 values differ from LiteRT's reference kernels" in capsys.readouterr().out


def test_run_writes_what_the_interpreter_computes(model: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "outputs.npy"
    assert cli.run(["run", str(model), f"--data={images}", f"--output={output}"]) == 0
    outputs = np.load(output)
    assert outputs.shape == (3, 4, 4, 2)
    assert outputs.min() >= 0


def test_run_prints_the_largest_output_of_each_image(
    model: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", str(model), f"--data={images}"]) == 0
    assert len(capsys.readouterr().out.split()) == 3


def test_estimate_writes_csv_json_and_a_timeline(model: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / kind for kind in ("csv", "json", "trace")}
    assert cli.run(["estimate", str(model), *(f"--{kind}={file}" for kind, file in files.items())]) == 0
    assert all("cycles_total" in file.read_text() for file in files.values())


def test_several_machines_are_put_side_by_side(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    arguments = ["estimate", str(model), "--machine=systolic-16-os,systolic-32-os"]
    assert cli.run([*arguments, f"--report={page}"]) == 0
    assert "Memory over time" in page.read_text()
    assert "on systolic-32-os" in capsys.readouterr().out
    assert cli.run([*arguments, "--csv=x"]) == 2


def test_check_says_what_does_not_run_there(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", str(model)]) == 0
    assert "1 PASS" in capsys.readouterr().out
    path = tmp_path / "ceil.tflite"
    path.write_bytes(write(small_graph("CEIL")))
    assert cli.run(["check", str(path), "--machine=ethos-u55-256-like"]) == 1
    assert "CEIL does not run there." in capsys.readouterr().out
    assert cli.run(["check", "--rules"]) == 0


def test_machines_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["machines"]) == 0
    assert "systolic-16-os" in capsys.readouterr().out


def test_help_is_not_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    assert cli.run(["estimate", "--help"]) == 0
    assert "--machine" in capsys.readouterr().out.replace("--[no]", "--")


@pytest.mark.parametrize("arguments", [[], ["compres"], ["inspect"], ["inspect", "a", "b"], ["run", "a.tflite"]])
def test_wrong_usage_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_unknown_flag_ends_with_status_2(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", str(model), "--no_such_flag"]) == 2
    assert "no_such_flag" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["inspect", "verify", "estimate"])
@pytest.mark.parametrize("content", [b"", b"not a flatbuffer at all, whatever it says", "truncated", None])
def test_a_broken_file_ends_as_one_line_with_status_1(
    command: str, content: bytes | str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.tflite"
    if content == "truncated":
        content = write(small_graph())[:200]
    if content is not None:
        path.write_bytes(content)
    assert cli.run([command, str(path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"tfcompress {command}: ")


@pytest.mark.parametrize("command", ["verify", "estimate"])
def test_an_unsupported_operator_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(write(small_graph("CEIL")))
    assert cli.run([command, str(path)]) == 1
    assert "CEIL" in capsys.readouterr().err


@pytest.mark.parametrize("array", [np.zeros((3, 5, 5, 2), np.float32), np.zeros((2, 4, 4, 2), np.int32)])
def test_wrong_shape_or_type_leaves_no_output_file(
    array: np.ndarray, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = tmp_path / "wrong.npy", tmp_path / "outputs.npy"
    np.save(data, array)
    assert cli.run(["run", str(model), f"--data={data}", f"--output={output}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not output.exists()


def test_pickled_data_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "objects.npy"
    np.save(data, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert cli.run(["run", str(model), f"--data={data}"]) == 1
    assert "not a plain .npy file" in capsys.readouterr().err


def test_an_unknown_machine_lists_the_known_ones(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["estimate", str(model), "--machine=tpu"]) == 1
    assert "systolic-16-os" in capsys.readouterr().err


def test_convert_takes_the_options_of_the_function(tmp_path: Path, images: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    path, output = tmp_path / "model.keras", tmp_path / "model.tflite"
    keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 3), keras.layers.Flatten()]).save(path)
    flags = ["--calibration=mse", "--bias_correction", "--power_of_two", "--weight_bits=4", "--weight_storage=int4"]
    assert cli.run(["convert", str(path), f"--output={output}", f"--data={images}", *flags]) == 0
    graph = read(output.read_bytes())
    assert {t.dtype for t in graph.tensors if t.data is not None} >= {"int4", "int32"}
    assert cli.run(["convert", str(path), f"--output={output}", f"--data={images}", "--activation_type=int16"]) == 0
    assert {read(output.read_bytes()).tensors[t].dtype for t in graph.inputs} == {"int16"}
