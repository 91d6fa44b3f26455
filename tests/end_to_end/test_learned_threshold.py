"""Learned thresholds and 4-bit steps, from ``fit`` to the bytes of the file."""

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
    inputs = x = keras.Input((8, 8, 1))
    for k, (filters, strides) in enumerate([(12, 1), (24, 2)]):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=f"conv_{k}")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(x)))


def fit(model: keras.Model, epochs: int) -> keras.Model:
    pixels, labels = load_digits(return_X_y=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, steps_per_execution=14)
    model.fit(pixels.reshape(-1, 8, 8, 1) / 16, labels, batch_size=32, epochs=epochs, verbose=0)
    return model


@pytest.mark.parametrize("freeze_step", [None, 4 * 56])
def test_zeros_and_four_bits_survive_the_way_to_the_file(freeze_step: int | None, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    x = (load_digits().data.reshape(-1, 8, 8, 1) / 16).astype("float32")
    threshold = tfc.LearnedThreshold(1e-4, freeze_step=freeze_step)
    rules = {".*": {"kernel": tfc.Chain([threshold, tfc.LSQ(bits=4)]), "output": tfc.LSQ(bits=8)}}
    small = tfc.compress(fit(network(), 3), rules)
    tfc.calibrate(small, x[:256])
    fit(small, 6).save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded.predict(x[:64], verbose=0), small.predict(x[:64], verbose=0))

    blob = tfe.convert(loaded, x[:256])
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    stored = {t.name: t.data for t in read(blob).tensors if t.data is not None}
    rows = {row["tensor"]: row for row in receipt.rows}
    for name in ("conv_0", "conv_1", "head"):
        layer = loaded.get_layer(name)
        pruned = np.array(layer.transforms["kernel"].transforms[0](layer.layer.kernel)) == 0
        codes = np.moveaxis(stored[f"{name}/kernel"], 0, -1).reshape(pruned.shape)
        assert np.all(codes[pruned] == 0) and np.abs(codes).max() <= 7
        assert rows[f"{name}/kernel"]["zeros"] >= pruned.sum()
    assert rows["conv_1/kernel"]["zeros_percent"] > 60
    assert rows["conv_1/kernel"]["entropy_bytes"] < 0.4 * rows["conv_1/kernel"]["raw_bytes"]
