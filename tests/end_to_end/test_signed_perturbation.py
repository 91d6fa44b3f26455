"""Exact zeros by signed perturbation, on the way to the int8 buffers; hardly any of them without drift."""

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

EPOCHS, STEPS = 8, 57
KERNELS = ("conv_0", "conv_1", "head")


def network() -> keras.Model:
    x = inputs = keras.Input((8, 8, 1))
    for k, (filters, strides) in enumerate([(12, 1), (24, 2)]):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=f"conv_{k}")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(x)))


def digits() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load_digits(return_X_y=True)
    return (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32"), labels


def fit(model: keras.Model, epochs: int) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"], steps_per_execution=STEPS)
    model.fit(*digits(), batch_size=32, epochs=epochs, verbose=0)
    return model


def perturbed(base: keras.Model, **arguments: object) -> keras.Model:
    keras.utils.set_random_seed(1)
    technique = tfc.SignedPerturbation(0.01, EPOCHS * STEPS // 10, EPOCHS * STEPS * 8 // 10, **arguments)
    small = tfc.compress(base, {".*": {"kernel": technique, "output": tfc.LSQ(bits=8)}})
    tfc.calibrate(small, digits()[0][:256])
    return fit(small, EPOCHS)


def zeros(model: keras.Model) -> float:
    return float(np.mean(np.concatenate([np.ravel(model.get_layer(n).effective("kernel")) for n in KERNELS]) == 0))


def test_zeros_are_made_in_fit_and_survive_the_way_to_the_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    base, (x, y) = fit(network(), 6), digits()
    small, control = perturbed(base), perturbed(base, distribution="normal")
    assert zeros(control) < 0.02 and 0.4 < zeros(small) < 0.8

    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded.predict(x[:64], verbose=0), small.predict(x[:64], verbose=0))
    assert loaded.evaluate(x, y, verbose=0)[1] > 0.97
    blob = tfe.convert(loaded, x[:256])
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    stored = {t.name: t.data for t in read(blob).tensors if t.data is not None}
    rows = {row["tensor"]: row for row in receipt.rows}
    for name in KERNELS:
        pruned = np.array(loaded.get_layer(name).effective("kernel")) == 0
        codes = np.moveaxis(stored[f"{name}/kernel"], 0, -1).reshape(pruned.shape)
        assert np.all(codes[pruned] == 0)
        assert pruned.sum() <= rows[f"{name}/kernel"]["zeros"] <= pruned.sum() + 0.05 * pruned.size
