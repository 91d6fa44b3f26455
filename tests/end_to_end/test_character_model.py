"""A network that reads letters, from ``fit`` to integers that LiteRT confirms, on a text that ships with Python."""

import codecs
import contextlib
import io
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow

STEPS = 8


@pytest.fixture(scope="module")
def letters() -> tuple[np.ndarray, np.ndarray, int]:
    """Runs of letters as numbers, the letter that follows each, and how many different ones there are."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    text = codecs.decode(this.s, "rot13").lower()
    numbers = np.array([sorted(set(text)).index(letter) for letter in text])
    runs = np.lib.stride_tricks.sliding_window_view(numbers, STEPS + 1)
    return runs[:, :-1], runs[:, -1], len(set(text))


def fitted(model: keras.Model, letters: tuple[np.ndarray, np.ndarray, int], rate: float, epochs: int) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(letters[0], letters[1], batch_size=64, epochs=epochs, verbose=0)
    return model


def reader(different: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((STEPS,), dtype="int32", name="letters")
    rows = layers.Embedding(different, 16, name="table")(inputs)
    return keras.Model(inputs, layers.Dense(different, name="next")(layers.LSTM(40, name="lstm")(rows)))


def test_a_model_of_letters_keeps_its_integers_and_its_accuracy(
    letters: tuple[np.ndarray, np.ndarray, int], tmp_path: Path
) -> None:
    x, y, different = letters
    dense = fitted(reader(different), letters, 2e-2, 12)
    rules = {"table": {"embeddings": tfc.LSQ(bits=4)}, "lstm|next": {"kernel": tfc.LSQ(bits=8)}}
    small = tfc.compress(dense, {".*": {"output": tfc.LSQ(bits=8)}, **rules})
    tfc.calibrate(small, x)
    fitted(small, letters, 2e-3, 3).save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")

    blob = tfe.convert(loaded, x)
    graph = read(blob)
    assert [(graph.tensors[t].dtype, graph.tensors[t].shape) for t in graph.inputs] == [("int32", (1, STEPS))]
    tfe.verify(blob, x[:24], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok
    assert {row["tensor"]: row["true_bits"] for row in receipt.rows}["table/embeddings"] == 4

    exported = tfe.Interpreter(model_content=blob).predict(x).argmax(axis=-1)
    predicted = loaded.predict(x, verbose=0).argmax(axis=-1)
    assert np.mean(predicted == y) > 0.8
    assert abs(np.mean(exported == y) - np.mean(predicted == y)) < 0.01
    assert np.mean(exported == predicted) > 0.95
