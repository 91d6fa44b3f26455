"""Masks and widths that a network chose, from ``fit`` to the bytes of the file."""

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


def fit(model: keras.Model, epochs: int, rate: float) -> keras.Model:
    pixels, labels = load_digits(return_X_y=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], steps_per_execution=14)
    model.fit(pixels.reshape(-1, 8, 8, 1) / 16, labels, batch_size=32, epochs=epochs, verbose=0)
    return model


def test_masks_and_widths_survive_the_way_to_the_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")
    widths = (2, 3, 4, 8)
    weights = tfc.JointPruneQuantize(4 * 57, widths, kept_penalty=3e-4, bit_penalty=3e-6)
    maps = tfc.JointPruneQuantize(4 * 57, widths, bit_penalty=1e-5)
    small = tfc.compress(fit(network(), 3, 3e-3), {".*": {"kernel": weights, "output": maps}})
    tfc.calibrate(small, x[:256])
    fit(small, 6, 2e-3).save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded.predict(x[:64], verbose=0), small.predict(x[:64], verbose=0))
    assert loaded.evaluate(x, labels, verbose=0)[1] > 0.93

    blob = tfe.convert(loaded)
    tfe.verify(blob, x[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    stored = {t.name: t for t in read(blob).tensors}
    chosen, pruned = [], []
    for name in ("conv", "head"):
        layer = loaded.get_layer(name)
        transform = layer.transforms["kernel"]
        chosen.append(transform.grid(layer.layer.kernel).bits)
        codes = np.moveaxis(stored[f"{name}/kernel"].data, 0, -1).reshape(transform.mask.shape)
        assert np.all(codes[~transform.mask.numpy()] == 0) and len(np.unique(codes)) <= 2 ** chosen[-1] - 1
        pruned.append(np.mean(~transform.mask.numpy()))
        assert pruned[-1] <= np.mean(codes == 0) < 0.99
    assert min(chosen) < 8 and min(pruned) > 0.1 and max(pruned) > 0.5, (chosen, pruned)

    narrow = [layer for layer in loaded.layers if isinstance(layer, tfc.JointPruneQuantize)]
    bits = {layer.name: layer.grid(np.zeros((1, 1), "float32")).bits for layer in narrow}
    assert min(bits.values()) < 8, bits
    predicted = tfe.Interpreter(model_content=blob).predict(x[:300]).argmax(axis=-1)
    assert np.mean(predicted == labels[:300]) > 0.93
