"""``tfcompress compress``: from a .keras file and arrays to integers, and one clear line where that cannot be."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tflite_export import Interpreter, cli, convert
from tflite_export.commands import compress


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, and images whose brighter half is their class."""
    folder = tmp_path_factory.mktemp("files")
    keras.utils.set_random_seed(0)
    conv = layers.Conv2D(32, 3, activation="relu", name="conv")
    parts = [conv, layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(2, activation="softmax")]
    keras.Sequential([keras.Input((6, 6, 1)), *parts]).save(folder / "model.keras")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 512)
    x = rng.random((512, 6, 6, 1)).astype(np.float32)
    x[:, :3] *= y[:, None, None, None]
    x[:, 3:] *= 1 - y[:, None, None, None]
    np.savez(folder / "data.npz", x=x, y=y, x_test=x[:100], y_test=y[:100])
    return folder


@pytest.mark.slow
def test_trains_writes_and_prints_the_receipt(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--data={files / 'data.npz'}", f"--output={tmp_path / 'out'}", "--epochs=4", "--batch_size=32"]
    arguments += ["--recipe=small", "--learning_rate=0.01"]
    assert cli.run(["compress", str(files / "model.keras"), *arguments]) == 0
    said = capsys.readouterr().out
    assert "model.keras: small. " in said and "conv/kernel" in said
    assert "accuracy of the file on 100 samples: 100.00%" in said
    x = np.load(files / "data.npz")["x"][:8]
    outputs = Interpreter(model_path=tmp_path / "out" / "model.tflite").predict(x)
    kept = keras.saving.load_model(tmp_path / "out" / "model.keras").predict(x, verbose=0)
    np.testing.assert_array_equal(outputs.argmax(-1), kept.argmax(-1))


@pytest.mark.slow
def test_says_what_gates_leave_out(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = {"kernel": {"class_name": "LSQ"}, "output": {"class_name": "LSQ"}}
    gates = {"edit": "insert_channel_gates", "layers": "conv", "seed": 0}
    (tmp_path / "gates.json").write_text(json.dumps({"edits": [gates], "rules": [{"regex": ".*", "slots": slots}]}))
    arguments = [f"--data={files / 'data.npz'}", f"--output={tmp_path / 'out'}", "--epochs=1"]
    assert cli.run(["compress", str(files / "model.keras"), *arguments, f"--recipe={tmp_path / 'gates.json'}"]) == 0
    said = capsys.readouterr().out
    assert "as its gates decide" in said and "executed" in said and "conv_gate" in said
    assert compress.is_gated((tmp_path / "out" / "model.tflite").read_bytes())
    plain = keras.Sequential([keras.Input((6, 6)), layers.LSTM(2), layers.Dense(2)])
    assert not compress.is_gated(convert(plain, np.ones((4, 6, 6), np.float32)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": [1.0]}, "arrays x and y of one length"),
        ({"x": [1.0], "y": [1, 2]}, "one length"),
        ({"x": [1.0], "y": [1], "x_test": [1.0]}, "x_test and y_test"),
        ({"x": [], "y": []}, "hold samples"),
        ({"x": np.array([{}]), "y": [1]}, "npz file"),
    ],
)
def test_data_must_be_plain_arrays(arrays: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **{name: np.asarray(value) for name, value in arrays.items()})
    with pytest.raises(ValueError, match=message):
        compress.read_data(str(tmp_path / "data.npz"))


def test_bad_usage_ends_in_one_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = str(files / "model.keras"), f"--data={files / 'data.npz'}"
    (tmp_path / "no.npz").write_bytes(b"PK no")
    for arguments, status, message in (
        ([model, data], 2, "--recipe needed"),
        ([data, "--recipe=small"], 2, "MODEL.keras"),
        ([model, data, "--recipe=smal"], 1, "A recipe must be one of"),
        ([model, f"--data={tmp_path / 'no.npz'}", "--recipe=small"], 1, "npz file"),
        ([model, data, "--recipe=small", "--epochs=0"], 2, "epochs"),
    ):
        assert cli.run(["compress", *arguments]) == status
        (line,) = capsys.readouterr().err.splitlines()[:1]
        assert message in line


def test_a_model_that_was_not_compiled_gets_the_loss_of_its_labels() -> None:
    softmax = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    logits = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    numbers, rows = np.array([0, 2]), np.eye(3)[[0, 2]]
    sparse = compress.default_loss(keras, logits, numbers)
    assert type(sparse).__name__ == "SparseCategoricalCrossentropy" and sparse.get_config()["from_logits"]
    whole = compress.default_loss(keras, softmax, rows)
    assert type(whole).__name__ == "CategoricalCrossentropy" and not whole.get_config()["from_logits"]
    assert compress.default_loss(keras, logits, np.ones((2, 3)) / 3) == "mean_squared_error"
