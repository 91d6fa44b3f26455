"""Two-bit weights trained with noise, from ``fit`` to the bytes of the file."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow


def network() -> keras.Model:
    inputs = x = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(12, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(x)))


def fit(model: keras.Model, epochs: int) -> keras.Model:
    pixels, labels = load_digits(return_X_y=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], steps_per_execution=14)
    model.fit(pixels.reshape(-1, 8, 8, 1) / 16, labels, batch_size=32, epochs=epochs, verbose=0)
    return model


def test_grids_that_were_trained_with_noise_are_those_of_the_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")
    rule = {"kernel": tfc.RelaxedQuantizer(2, seed=0), "output": tfc.RelaxedQuantizer(6, hard=True, seed=1)}
    small = tfc.compress(fit(network(), 3), {".*": rule})
    tfc.calibrate(small, x[:256])
    fit(small, 6).save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded.predict(x[:64], verbose=0), small.predict(x[:64], verbose=0))
    assert loaded.evaluate(x, labels, verbose=0)[1] > 0.9

    blob = tfe.convert(loaded)
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    stored = {t.name: t for t in read(blob).tensors}
    rows = {row["tensor"]: row for row in receipt.rows}
    for name in ("conv", "head"):
        weight, grid = tfc.deployed(loaded.get_layer(name), "kernel")
        codes = np.moveaxis(stored[f"{name}/kernel"].data, 0, -1).reshape(weight.shape)
        np.testing.assert_array_equal(np.abs(codes), np.abs(grid.encode(weight)))
        assert set(np.unique(codes)) == {-1, 0, 1} and rows[f"{name}/kernel"]["distinct"] == 3
    transform = loaded.get_layer("head").transforms["kernel"]
    np.testing.assert_array_equal(stored["head/kernel"].quantization.scale, np.ravel(transform.step))
    predicted = tfe.Interpreter(model_content=blob).predict(x[:300]).argmax(axis=-1)
    assert np.mean(predicted == labels[:300]) > 0.9
