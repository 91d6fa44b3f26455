"""Tied weights from ``fit`` to the receipt: few values, exact powers of two and zeros are what the file holds."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow


def images(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright or dark in the upper or lower half."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, samples)
    x = rng.random((samples, 8, 8, 1)).astype("float32")
    x[:, :4] += (y // 2)[:, None, None, None]
    x[:, 4:] += (y % 2)[:, None, None, None]
    return x / 2, y


def network() -> keras.Model:
    """A convolution with a batch norm that folds, with negative gammas, and a dense layer."""
    gamma = keras.initializers.RandomNormal(stddev=1.0)
    inputs = x = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8, gamma_initializer=gamma)(x))
    return keras.Model(inputs, layers.Dense(4, name="dense")(layers.Flatten()(x)))


def fitted(model: keras.Model, x: np.ndarray, y: np.ndarray, rate: float) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=3, verbose=0)
    return model


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (tfc.LookUpTable(16, values="power_of_two"), 15),
        (tfc.LookUpTable(values="ternary", sparsity=tfc.PolynomialDecay(0.0, 0.7, 0, 30)), 3),
        (tfc.Chain([tfc.MagnitudePruning(0.5), tfc.LookUpTable(4)]), 4),
        (tfc.LookUpTable(4, axis=None), None),
    ],
    ids=["power_of_two", "ternary_pruned", "pruned", "per_channel"],
)
def test_the_file_holds_what_was_trained(table: tfc.Transform, values: int | None, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    x, y = images(512)
    small = tfc.compress(fitted(network(), x, y, 1e-2), {".*": {"kernel": table, "output": tfc.LSQ(bits=8)}})
    tfc.calibrate(small, x)
    fitted(small, x, y, 1e-3)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert loaded.evaluate(x, y, verbose=0)[1] > 0.8

    blob = tfe.convert(loaded)
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    on_chip = tfe.Interpreter(model_content=blob).predict(x).argmax(axis=-1)
    assert np.mean(on_chip == loaded.predict(x, verbose=0).argmax(axis=-1)) > 0.99
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt

    stored = {t.name: t.data for t in read(blob).tensors if t.data is not None}
    rows = {row["tensor"]: row for row in receipt.rows}
    for request in (r for r in receipt.requests if r["slot"] == "kernel"):
        codes = stored[request["tensor"]]
        rows_of_codes = codes.reshape(len(codes), -1)
        if values is None:
            assert max(len(np.unique(row)) for row in rows_of_codes) == 4
            continue
        signs = 2 if request["layer"] == "conv" else 1  # a negative gamma turns the signs of a channel
        assert request["requested_distinct"] <= values and rows[request["tensor"]]["distinct"] <= signs * values
        if "power" in str(table.get_config()):
            assert {*np.unique(np.abs(codes))} <= {0, 1, 2, 4, 8, 16, 32, 64}
        if values < 4 or isinstance(table, tfc.Chain):
            wanted = 0.7 if values < 4 else 0.5
            assert rows[request["tensor"]]["zeros"] >= wanted * codes.size - 1
