"""A budget of bit operations: met, and read back from the file as widths, shapes and multiplications."""

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

PIXELS, LABELS = load_digits(return_X_y=True)
X = (PIXELS.reshape(-1, 8, 8, 1) / 16).astype("float32")


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    stack = [keras.Input((8, 8, 1), name="image")]
    for k, filters in enumerate((12, 16), 1):
        stack.append(layers.Conv2D(filters, 3, strides=k, padding="same", use_bias=False, name=f"conv_{k}"))
        stack += [layers.BatchNormalization(momentum=0.9), layers.ReLU(name=f"relu_{k}")]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, name="head")])


def fit(model: keras.Model, epochs: int, rate: float, *used: keras.callbacks.Callback) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], steps_per_execution=5)
    model.fit(X, LABELS, batch_size=64, epochs=epochs, verbose=0, callbacks=used)
    return model


def test_widths_and_channels_of_a_budget_are_in_the_file(tmp_path: Path) -> None:
    model = fit(network(), 3, 5e-3)
    small = tfc.compress(model, {".*": {"kernel": tfc.DifferentiableBits(), "output": tfc.DifferentiableBits()}})
    tfc.calibrate(small, X[:256])
    gated = tfc.edits.insert_bottlenecks(small, kl=0.0, seed=0, speed=60.0)
    limit = 0.005 * tfc.costs.bops(model)
    fit(gated, 8, 3e-3, tfc.callbacks.Budget(limit))
    small = tfc.edits.remove_channels(gated)
    assert 0.8 * limit <= tfc.costs.bops(small) <= limit
    np.testing.assert_allclose(small(X[:64]), gated(X[:64]), atol=1e-4)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded.predict(X[:64], verbose=0), small.predict(X[:64], verbose=0))
    assert np.mean(loaded.predict(X, verbose=0).argmax(axis=-1) == LABELS) > 0.85

    blob = tfe.convert(loaded)
    tfe.verify(blob, X[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok, receipt.problems
    widths = {name: loaded.get_layer(name).transforms["kernel"].width for name in ("conv_1", "conv_2", "head")}
    rows = {row["tensor"].split("/")[0]: row for row in receipt.rows if row["tensor"].endswith("/kernel")}
    assert all(rows[name]["true_bits"] <= bits for name, bits in widths.items()) and min(widths.values()) <= 4
    requested = {record["requested_bits"] for record in receipt.requests}
    assert len(requested) > 1 and requested >= {*widths.values()}

    kept = [loaded.get_layer(f"conv_{k}").layer.filters for k in (1, 2)]
    assert sum(kept) < 12 + 16 and rows["conv_2"]["shape"] == [kept[1], 3, 3, kept[0]]
    assert bops_of_file(blob) == tfc.costs.bops(loaded) <= limit
    predicted = tfe.Interpreter(model_content=blob).predict(X[:300]).argmax(axis=-1)
    assert np.mean(predicted == LABELS[:300]) > 0.85


def bops_of_file(blob: bytes) -> float:
    """By the shapes and grids that are stored: a multiplication for each weight at each place of the output."""
    graph = read(blob)
    total = 0.0
    for op in graph.ops:
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            x, weight, y = (graph.tensors[k] for k in (*op.inputs[:2], op.outputs[0]))
            places = y.shape[1] * y.shape[2] if op.kind == "CONV_2D" else 1
            total += places * np.size(weight.data) * weight.quantization.bits * x.quantization.bits
    return total
