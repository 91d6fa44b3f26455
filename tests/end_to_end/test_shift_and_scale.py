"""Channels that fill their range: from a trained network to codes that are used, on the runtime that counts."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Some channels fill less than half")]

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return images[:1347], labels[:1347], images[1347:], labels[1347:]


@pytest.fixture(scope="module")
def unequal(digits: Data) -> keras.Model:
    """A trained network whose channels differ up to 32 times in what they reach; its function is as trained."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 1))
    for k, filters in enumerate((12, 24)):
        x = layers.Conv2D(filters, 3, strides=k + 1, padding="same", use_bias=False, name=f"conv_{k}")(x)
        x = layers.ReLU(name=f"relu_{k}")(layers.BatchNormalization(momentum=0.9, name=f"norm_{k}")(x))
    y = layers.Conv2D(24, 1, name="inner")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="last")(layers.Add(name="sum")([x, y]))
    model = keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(x)))
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits[:2], batch_size=64, epochs=6, verbose=0)
    rng = np.random.default_rng(0)
    for made, read in (("norm_0", "conv_1"), ("last", "head")):
        factors = 2.0 ** -rng.integers(0, 6, model.get_layer(made).output.shape[-1])
        for variable in model.get_layer(made).trainable_variables:
            variable.assign(variable * factors.astype(np.float32))
        kernel = model.get_layer(read).kernel
        columns = np.tile(1 / factors, kernel.shape[-2] // len(factors)).astype(np.float32)
        kernel.assign(kernel * columns[:, None])
    return model


def squared_error(blob: bytes, model: keras.Model, x: np.ndarray) -> float:
    return float(np.mean((tfe.Interpreter(model_content=blob).predict(x) - np.asarray(model(x))) ** 2))


def file_of(model: keras.Model, digits: Data, bits: int, path: Path) -> bytes:
    """Feature maps of so many bits, each with one step, through a saved file."""
    small = tfc.compress(model, {".*": {"output": tfc.MinMax(bits)}, "input.*|head": {"output": tfc.MinMax(8)}})
    tfc.calibrate(small, digits[0][:256])
    small.save(path)
    again = keras.models.load_model(path)
    floats = {"inference_input_type": "float32", "inference_output_type": "float32"}
    return tfe.convert(again, **floats)


@pytest.mark.parametrize("bits", [8, 4])
def test_from_a_trained_network_to_a_file_that_loses_less(
    digits: Data, unequal: keras.Model, bits: int, tmp_path: Path
) -> None:
    full = tfc.edits.shift_and_scale(unequal, digits[0])
    np.testing.assert_allclose(full(digits[2]), unequal(digits[2]), rtol=1e-4, atol=1e-4)
    plain, edited = (file_of(m, digits, bits, tmp_path / f"{k}.keras") for k, m in enumerate((unequal, full)))
    tfe.verify(edited, digits[2][:8]).raise_if_different()
    errors = [squared_error(blob, unequal, digits[2]) for blob in (plain, edited)]
    assert errors[1] < errors[0] / 2
    kinds = [[row["op"] for row in tfe.receipt(blob).rows] for blob in (plain, edited)]
    assert kinds[0] == kinds[1], "no op is added"
    used = [codes_used(blob, digits[2]) for blob in (plain, edited)]
    assert np.median(used[0]) < 0.5 < np.median(used[1])


def codes_used(blob: bytes, x: np.ndarray) -> np.ndarray:
    """Of each channel behind the first convolution, the share of the tensor's codes between its extremes."""
    run = tfe.Interpreter(model_content=blob, experimental_preserve_all_tensors=True)
    run.allocate_tensors()
    detail = next(d for d in run.get_tensor_details() if tuple(d["shape"]) == (1, 8, 8, 12))
    codes = []
    for image in x[:64]:
        run.set_tensor(run.get_input_details()[0]["index"], image[None])
        run.invoke()
        codes.append(run.get_tensor(detail["index"]).reshape(-1, 12).astype(int))
    reached = np.concatenate(codes)
    return np.ptp(reached, axis=0) / np.ptp(reached)


def test_equal_channels_gain_nothing(digits: Data, unequal: keras.Model, tmp_path: Path) -> None:
    full = tfc.edits.shift_and_scale(unequal, digits[0])
    again = tfc.edits.shift_and_scale(full, digits[0])
    errors = [
        squared_error(file_of(m, digits, 4, tmp_path / f"{k}.keras"), unequal, digits[2])
        for k, m in enumerate((full, again))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.3)
