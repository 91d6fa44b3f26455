"""Gates that depend on the input: trained, exported in standard ops, and skipped over by whoever runs the file."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = pytest.mark.slow

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
STEPS = 22
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return images[:1347], labels[:1347], images[1347:], labels[1347:]


def network(regularizer: Any) -> keras.Model:
    """A residual block with a gate inside."""
    keras.utils.set_random_seed(0)

    def conv(x: Any, filters: int, name: str) -> Any:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    inputs = keras.Input((8, 8, 1))
    x = layers.MaxPooling2D()(layers.ReLU()(conv(inputs, 16, "stem")))
    y = layers.ReLU(name="inside")(conv(x, 32, "first"))
    y = tfc.layers.ChannelGate(units=8, regularizer=regularizer, seed=1, name="gate")([y, x])
    x = layers.ReLU(name="block")(layers.Add()([x, conv(y, 16, "second")]))
    return keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(x)))


def fitted(digits: Data, regularizer: Any, epochs: int, callbacks: Any = ()) -> keras.Model:
    model = network(regularizer)
    model.compile(keras.optimizers.Adam(3e-3), LOSS, metrics=["accuracy"])
    model.fit(*digits[:2], batch_size=64, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


@pytest.fixture(scope="module")
def gated(digits: Data) -> keras.Model:
    """Batch-shaping fades in the middle of training, while the price of open channels rises."""
    middle = (2 * STEPS, 6 * STEPS)
    schedules = {
        "shaping": tfc.schedules.Ramp(*middle, final=0.0, initial=0.75),
        "l0": tfc.schedules.Ramp(*middle, final=0.5),
    }
    callbacks = [tfc.callbacks.Anneal(name, schedule) for name, schedule in schedules.items()]
    return fitted(digits, tfc.regularizers.BatchShaping(), 8, callbacks)


def accuracy(model: keras.Model, digits: Data) -> float:
    return float(model.evaluate(*digits[2:], verbose=0)[1])


def conditional(model: keras.Model, x: np.ndarray) -> float:
    """The fraction of gates that are neither always open nor always closed."""
    rates = np.concatenate(list(tfc.gate_rates(model, x).values()))
    return float(np.mean((rates > 0.02) & (rates < 0.98)))


def test_batch_shaping_makes_gates_depend_on_the_input(digits: Data, gated: keras.Model) -> None:
    shaped, without = (fitted(digits, loss, 6) for loss in (tfc.regularizers.BatchShaping(), None))
    assert conditional(shaped, digits[2]) > 0.3 + conditional(without, digits[2])
    assert conditional(gated, digits[2]) > 0.6 and accuracy(gated, digits) > 0.85
    rates = np.concatenate([*tfc.gate_rates(gated, *digits[2:]).values()], axis=1)
    assert np.mean(np.ptp(rates, axis=0) > 0.3) > 0.3, "gates know classes"


def test_from_a_saved_model_to_fewer_multiplications(digits: Data, gated: keras.Model, tmp_path: Path) -> None:
    gated.save(tmp_path / "gated.keras")
    again = keras.models.load_model(tmp_path / "gated.keras")
    np.testing.assert_array_equal(again(digits[2]), gated(digits[2]))
    blob = tfe.convert(again, representative_dataset=digits[0][:256])
    tfe.verify(blob, digits[2][:8], keras_model=again).raise_if_different()
    ops = {row["op"] for row in tfe.npu.estimate(blob, "systolic-16-os").rows}
    assert ops == {"CONV_2D", "MAX_POOL_2D", "MEAN", "FULLY_CONNECTED", "MUL", "ADD", "RESHAPE"}

    codes = _codes(blob, digits[2][:100])
    result = tfe.executed(blob, codes)
    np.testing.assert_array_equal(result.outputs[0], tfe.Interpreter(model_content=blob).predict(codes))
    assert result.totals["executed_macs"] < 0.8 * result.totals["macs"] and result.macs.std() > 0
    (inside,) = (row for row in result.rows if row["layer"] == "inside")
    assert inside["executed_macs"] < 0.85 * inside["macs"]
    assert np.mean(result.outputs[0].argmax(-1) == np.asarray(again(digits[2][:100])).argmax(-1)) > 0.95


def test_with_trained_grids_the_chip_decides_as_keras_does(digits: Data, gated: keras.Model) -> None:
    small = tfc.compress(gated, {".*": {"kernel": tfc.LSQ(8), "output": tfc.LSQ(8)}})
    tfc.calibrate(small, digits[0][:256])
    blob = tfe.convert(small)
    tfe.verify(blob, digits[2][:8], keras_model=small).raise_if_different()
    result = tfe.executed(blob, digits[2][:100])
    by_sample = tfc.gate_rates(small, digits[2][:100], labels=np.arange(100))
    agree = [on_chip == there for on_chip, there in zip(result.open_gates.values(), by_sample.values(), strict=True)]
    assert np.mean(agree) > 0.99


def test_gates_that_never_change_are_compiled_away(digits: Data, gated: keras.Model) -> None:
    shut = keras.models.clone_model(gated)
    shut.set_weights(gated.get_weights())
    bias = shut.get_layer("gate").logits.bias
    bias.assign(np.where(np.arange(32) < 6, -50.0, bias.numpy()))
    small = tfc.edits.remove_channels(tfc.edits.settle_gates(shut, digits[2]))
    assert small.get_layer("first").filters <= 26
    np.testing.assert_allclose(small(digits[2]), shut(digits[2]), atol=1e-4)


def _codes(blob: bytes, x: np.ndarray) -> np.ndarray:
    scale, zero_point = tfe.Interpreter(model_content=blob).get_input_details()[0]["quantization"]
    return np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(np.int8)
