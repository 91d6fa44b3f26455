"""Balanced groups on the way to the file: output channels, blocks (2:4) and tiles, in conv, depthwise and dense."""

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

SPARSITY = {"conv": 0.75, "depthwise": 0.5, "dense": 0.5, "tiled": 0.75}
GROUPS = {"conv": "output_channel", "depthwise": "output_channel", "dense": 4, "tiled": (8, 4)}
EPOCHS, STEPS = 4, 57


def network() -> keras.Model:
    x = inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="stem")(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Dense(32, activation="relu", name="dense")(layers.Flatten()(x))
    x = layers.Dense(32, activation="relu", name="tiled")(x)
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


def fit(model: keras.Model, x: np.ndarray, y: np.ndarray, epochs: int, rate: float) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], steps_per_execution=STEPS)
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def test_every_group_has_the_same_count_in_the_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")
    freeze = EPOCHS * STEPS * 7 // 10
    rules = {
        n: {"kernel": tfc.Chain([tfc.BalancedPruning(s, freeze, GROUPS[n]), tfc.LSQ(bits=8)])}
        for n, s in SPARSITY.items()
    }
    everywhere = {".*": {"kernel": tfc.LSQ(bits=8), "output": tfc.LSQ(bits=8)}}
    small = tfc.compress(fit(network(), x, labels, 3, 3e-3), {**everywhere, **rules})
    tfc.calibrate(small, x[:256])
    fit(small, x, labels, EPOCHS, 1e-3).save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded.predict(x[:64], verbose=0), small.predict(x[:64], verbose=0))
    assert loaded.evaluate(x, labels, verbose=0)[1] > 0.95

    blob = tfe.convert(loaded)
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    stored = {t.name: t.data for t in read(blob).tensors if t.data is not None}
    counted = {
        "conv": np.count_nonzero(stored["conv/kernel"], axis=(1, 2, 3)),  # output channels first
        "depthwise": np.count_nonzero(stored["depthwise/kernel"], axis=-1),
        "dense": np.count_nonzero(stored["dense/kernel"].reshape(32, -1, 4), axis=-1),
        "tiled": np.count_nonzero(stored["tiled/kernel"].reshape(8, 4, 4, 8), axis=(1, 3)),
    }
    for name, counts in counted.items():
        assert counts.size > 1 and np.ptp(counts) == 0, name
        assert np.mean(stored[f"{name}/kernel"] == 0) == pytest.approx(SPARSITY[name], abs=0.04)

    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    patterns = {row["tensor"]: row["pattern"] for row in receipt.rows}
    assert patterns["dense/kernel"] == "2:4" and patterns["head/kernel"] == ""
