"""Corrected biases: from rounded and pruned weights to the int32 biases of the file."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = pytest.mark.slow

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
RULES = {
    "4 bits, one step": {".*": {"kernel": tfc.MinMax(4, axis=())}},
    "80 % zeros": {"conv_[12]|deep": {"kernel": tfc.MagnitudePruning(tfc.ConstantSparsity(0.8, end_step=0))}},
}


@pytest.fixture(scope="module")
def digits() -> Data:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return images[:1347], labels[:1347], images[1347:], labels[1347:]


@pytest.fixture(scope="module")
def model(digits: Data) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 1))
    convolutions = [
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_0"),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="deep"),
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_1"),
        layers.Conv2D(48, 3, use_bias=False, name="conv_2"),
    ]
    for layer in convolutions:
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layer(x)))
    model = keras.Model(inputs, layers.Dense(10, name="head")(layers.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits[:2], batch_size=64, epochs=6, verbose=0)
    return model


@pytest.mark.parametrize("rule", RULES)
def test_from_changed_weights_to_a_file_that_is_nearer_to_the_float_network(
    digits: Data, model: keras.Model, rule: str, tmp_path: Path
) -> None:
    small = tfc.compress(model, RULES[rule])
    corrected = {
        "analytic": tfc.edits.correct_bias(small, input_mean=digits[0].mean()),
        "empirical": tfc.edits.correct_bias(small, digits[0][:256]),
    }
    floats = {"inference_output_type": "float32", "inference_input_type": "float32"}
    plain, errors = tfe.convert(small, digits[0][:256], **floats), {}
    expected = np.asarray(model(digits[2]))
    blobs = {"none": plain}
    for name, candidate in corrected.items():
        candidate.save(tmp_path / f"{name}.keras")
        blobs[name] = tfe.convert(keras.models.load_model(tmp_path / f"{name}.keras"), digits[0][:256], **floats)
    for name, blob in blobs.items():
        y = tfe.Interpreter(model_content=blob).predict(digits[2])
        errors[name] = np.mean((y - expected) ** 2), np.mean(y.argmax(-1) == digits[3])
    tfe.verify(blobs["empirical"], digits[2][:8]).raise_if_different()
    assert errors["analytic"][0] < 0.7 * errors["none"][0]
    assert errors["empirical"][0] < 0.5 * errors["none"][0]
    assert errors["none"][1] < errors["empirical"][1]
    assert [row["op"] for row in tfe.receipt(plain).rows] == [row["op"] for row in tfe.receipt(blobs["empirical"]).rows]
    pairs = zip(biases(plain), biases(blobs["empirical"]), strict=True)
    assert sum(not np.array_equal(a, b) for a, b in pairs) >= 4


def biases(blob: bytes) -> list[np.ndarray]:
    run = tfe.Interpreter(model_content=blob)
    run.allocate_tensors()
    details = [d for d in run.get_tensor_details() if d["dtype"] == np.int32 and "bias" in d["name"]]
    return [run.get_tensor(d["index"]) for d in details]


def test_convert_corrects_what_it_rounds_itself(digits: Data, model: keras.Model) -> None:
    floats = {"inference_output_type": "float32", "inference_input_type": "float32", "weight_bits": 3}
    expected, errors = np.asarray(model(digits[2])), {}
    for way in (False, "analytic", "empirical"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            blob = tfe.convert(model, digits[0][:256], bias_correction=way, **floats)
        errors[way] = np.mean((tfe.Interpreter(model_content=blob).predict(digits[2]) - expected) ** 2)
    assert errors["analytic"] < 0.8 * errors[False]
    assert errors["empirical"] < 0.5 * errors[False]
