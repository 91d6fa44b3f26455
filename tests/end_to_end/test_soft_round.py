"""Weights and maps trained on soft staircases, from ``fit`` to the codes of the file, in which there are none."""

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


def test_what_was_trained_softly_is_hard_in_the_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")
    inputs = y = keras.Input((8, 8, 1), name="image")
    y = layers.Conv2D(12, 3, padding="same", use_bias=False, name="conv")(y)
    y = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(y)))
    model = keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(y)))

    cooling = tfc.schedules.Ramp(0, 250, final=0.05, initial=0.5, geometric=True)
    kernel, output = (tfc.SoftRound(bits, cooling, hard_step=280) for bits in (2, 5))
    small = tfc.compress(model, {".*": {"kernel": kernel, "output": output}, "image": {"output": tfc.LSQ(bits=8)}})
    tfc.calibrate(small, x[:256])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small.compile(keras.optimizers.Adam(5e-3), loss, metrics=["accuracy"], steps_per_execution=19)
    small.fit(x, labels, batch_size=32, epochs=6, verbose=0)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(x[:64]), small(x[:64]))
    transforms = [loaded.get_layer(name).transforms["kernel"] for name in ("conv", "head")]
    assert [int(t.count) for t in transforms] == [342, 342] and all(np.ptp(t.ratio) > 0.01 for t in transforms)

    blob = tfe.convert(loaded)
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    stored = {t.name: t for t in read(blob).tensors}
    for name in ("conv", "head"):
        weight, grid = tfc.deployed(loaded.get_layer(name), "kernel")
        codes = np.moveaxis(stored[f"{name}/kernel"].data, 0, -1).reshape(weight.shape)
        np.testing.assert_array_equal(np.abs(codes), np.abs(grid.encode(weight)))
        assert set(np.unique(codes)) == {-1, 0, 1}
    on_chip = tfe.Interpreter(model_content=blob).predict(x).argmax(axis=-1)
    assert np.mean(on_chip == labels) > 0.8
    narrow = {r["layer"]: r["delivered_bits"] for r in receipt.requests if r["slot"] == "output"}
    assert sorted(narrow.values()) == [5, 5, 8], narrow
