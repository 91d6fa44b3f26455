"""A network without a multiplication, from ``fit`` to the multipliers of the file; and what still multiplies."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read
from tflite_export.interpreter.arithmetic import quantize_multiplier

pytestmark = pytest.mark.slow

PIXELS, LABELS = load_digits(return_X_y=True)
X = (PIXELS.reshape(-1, 8, 8, 1) / 16).astype("float32")


def network() -> keras.Model:
    """Norms behind a convolution, a depthwise one, and a sum, into which none folds."""
    inputs = x = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(12, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="norm")(x))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="wide")(x)
    y = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="wide_norm")(y))
    x = layers.BatchNormalization(momentum=0.9, name="sum_norm")(layers.Add(name="sum")([x, y]))
    x = layers.Flatten()(layers.MaxPooling2D(2)(layers.ReLU()(x)))
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


def fit(model: keras.Model, epochs: int, rate: float) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], steps_per_execution=14)
    model.fit(X, LABELS, batch_size=32, epochs=epochs, verbose=0)
    return model


def compressed(model: keras.Model) -> keras.Model:
    table, step = tfc.LookUpTable(16, values="power_of_two"), tfc.LSQ(8, power_of_two=True)
    small = tfc.compress(model, {".*": {"kernel": table, "output": step}})
    tfc.calibrate(small, X[:256])
    return small


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    keras.utils.set_random_seed(0)
    return fit(network(), 3, 3e-3)


def test_nothing_but_shifts_is_in_the_file(trained: keras.Model, tmp_path: Path) -> None:
    small = fit(compressed(tfc.edits.multiplierless(trained)), 3, 1e-3)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(X[:64]), small(X[:64]))
    blob = tfe.convert(loaded)
    tfe.verify(blob, X[:8], keras_model=loaded).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=loaded)
    assert receipt.ok and receipt.shift_only, receipt

    graph = read(blob)
    linear = [op for op in graph.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    assert len(linear) == 4
    for op in linear:
        x, weight, _, y = (graph.tensors[t] for t in (*op.inputs, *op.outputs))
        assert {*np.abs(np.unique(weight.data))} <= {0, 1, 2, 4, 8, 16, 32, 64}
        ratios = np.float64(x.quantization.scale) * weight.quantization.scale / y.quantization.scale
        assert {quantize_multiplier(ratio)[0] for ratio in ratios} == {2**30}
    predicted = tfe.Interpreter(model_content=blob).predict(X).argmax(axis=-1)
    assert np.mean(predicted == LABELS) > 0.9


def test_a_plain_batch_norm_in_its_place_multiplies(trained: keras.Model) -> None:
    receipt = tfe.receipt(tfe.convert(compressed(trained)))
    found = {record["op"]: record["multiplies"] for record in receipt.operations}
    assert not receipt.shift_only
    assert found["CONV_2D"] == found["DEPTHWISE_CONV_2D"] == "rescaling"
    assert found["ADD"] == found["MAX_POOL_2D"] == ""


def test_the_receipt_names_what_multiplies_beside() -> None:
    x = inputs = keras.Input((7, 7, 2))
    x = layers.ReLU()(tfc.layers.PowerOfTwoBatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(x)))
    x = layers.AveragePooling2D(2, name="even")(x)
    x = layers.Dense(3, name="head")(layers.Flatten()(layers.AveragePooling2D((1, 2), (1, 1), name="windows")(x)))
    model = keras.Model(inputs, layers.Softmax(name="softmax")(x))
    small = tfc.compress(model, {".*": {"kernel": tfc.LookUpTable(8, "power_of_two")}})
    receipt = tfe.receipt(tfe.convert(small, np.random.default_rng(0).random((32, 7, 7, 2)), power_of_two=True))
    assert [r["op"] for r in receipt.operations if not r["shift_only"]] == ["SOFTMAX"], receipt
    assert "softmax (SOFTMAX): exponentials and their sum" in str(receipt)
