"""A cheaper layer in the place of a trained one: fewer multiplications and bytes in the file, and the same answers."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = pytest.mark.slow

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return images[:1347], labels[:1347], images[1347:], labels[1347:]


def fit(model: keras.Model, digits: Data, epochs: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(3e-3), LOSS, jit_compile=False)
    model.fit(*digits[:2], batch_size=64, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def base(digits: Data) -> keras.Model:
    keras.utils.set_random_seed(0)
    stack: list[layers.Layer] = [keras.Input((8, 8, 1))]
    for k, strides in enumerate((1, 2), 1):
        stack.append(layers.Conv2D(16, 3, strides=strides, padding="same", use_bias=False, name=f"conv_{k}"))
        stack += [layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"), layers.ReLU(name=f"relu_{k}")]
    return fit(keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, name="head")]), digits, 6)


def right(blob: bytes, digits: Data) -> float:
    return float(np.mean(tfe.Interpreter(model_content=blob).predict(digits[2]).argmax(-1) == digits[3]))


def test_from_least_squares_to_a_smaller_file(base: keras.Model, digits: Data, tmp_path: Path) -> None:
    x, _, x_test, _ = digits
    new = [
        layers.SeparableConv2D(16, 3, strides=2, padding="same", use_bias=False, name="new"),
        layers.BatchNormalization(momentum=0.9, name="new_norm"),
        layers.ReLU(name="new_relu"),
    ]
    small = tfc.edits.introduce_layer(base, new, x, at=("conv_2", "relu_2"))
    small = tfc.edits.introduce_layer(small, 12, x, at="conv_1", mode="narrow", base=base)
    full, start = (tfe.convert(m, representative_dataset=x[:128]) for m in (base, small))
    assert right(start, digits) > right(full, digits) - 0.15 and right(start, digits) > 0.75  # not trained

    fit(small, digits, 2)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(x_test), small(x_test))
    blob = tfe.convert(loaded, representative_dataset=x[:128])
    tfe.verify(blob, x_test[:8], keras_model=loaded).raise_if_different()
    assert right(blob, digits) > right(full, digits) - 0.03
    bytes_of = [tfe.receipt(one).totals["raw_bytes"] for one in (blob, full)]
    macs = [tfe.npu.estimate(one, machine="systolic-16-os").totals["macs"] for one in (blob, full)]
    assert macs[0] < 0.5 * macs[1] and bytes_of[0] < bytes_of[1]


def test_inserted_and_widened_networks_export_and_compress(base: keras.Model, digits: Data) -> None:
    x, _, x_test, _ = digits
    deep = tfc.edits.introduce_layer(
        base, layers.DepthwiseConv2D(3, padding="same", activation="relu", name="more"), x, at="relu_2", mode="insert"
    )
    wide = tfc.edits.introduce_layer(deep, 24, x, at="conv_1", mode="widen", base=base)
    np.testing.assert_allclose(wide(x_test), base(x_test), atol=0.2)
    small = tfc.compress(wide, {"more|conv_2": {"kernel": tfc.LSQ(bits=4)}})
    blob = tfe.convert(small, representative_dataset=x[:128])
    tfe.verify(blob, x_test[:8], keras_model=small).raise_if_different()
    rows = {row["tensor"]: row for row in tfe.receipt(blob, keras_model=small).rows}
    assert rows["more/kernel"]["true_bits"] <= 4 and rows["conv_1/kernel"]["shape"][0] == 24
