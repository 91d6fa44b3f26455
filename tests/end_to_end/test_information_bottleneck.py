"""Channels that hold more noise than signal: found while training, removed, and gone from the file."""

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
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return images[:1347], labels[:1347], images[1347:], labels[1347:]


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    stack: list[Any] = [keras.Input((8, 8, 1))]
    for k, filters in enumerate((16, 32), 1):
        stack.append(layers.Conv2D(filters, 3, strides=k, padding="same", use_bias=False, name=f"conv_{k}"))
        stack += [layers.BatchNormalization(name=f"norm_{k}"), layers.ReLU(name=f"relu_{k}")]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, name="head")])


def fitted(model: keras.Model, digits: Data, epochs: int, rate: float = 3e-3) -> float:
    model.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
    model.fit(*digits[:2], batch_size=64, epochs=epochs, verbose=0)
    return float(model.evaluate(*digits[2:], verbose=0)[1])


def kept(model: keras.Model) -> list[int]:
    gates = [layer for layer in model.layers if isinstance(layer, tfc.layers.InformationBottleneck)]
    return [int(gate.keep.sum()) for gate in gates]


def macs(blob: bytes) -> int:
    return int(tfe.npu.estimate(blob, machine="systolic-16-os").totals["macs"])


def test_from_fit_to_a_smaller_file(digits: Data, tmp_path: Path) -> None:
    plain = network()
    accuracy = fitted(plain, digits, 8)
    gated = tfc.edits.insert_bottlenecks(network(), kl=5e-3, seed=0)
    fitted(gated, digits, 12)
    channels = kept(gated)
    assert channels[0] <= 12 and channels[1] <= 24, "channels fall"

    small = tfc.edits.remove_channels(gated)
    np.testing.assert_allclose(small(digits[2]), gated(digits[2]), rtol=1e-4, atol=1e-4)
    assert [small.get_layer(f"conv_{k}").filters for k in (1, 2)] == channels
    assert not kept(small) and len(small.layers) == len(plain.layers)
    assert fitted(small, digits, 6, rate=1e-3) > accuracy - 0.03

    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(again(digits[2]), small(digits[2]))
    blob = tfe.convert(again, representative_dataset=digits[0][:128])
    tfe.verify(blob, digits[2][:8], keras_model=again).raise_if_different()
    full = tfe.convert(plain, representative_dataset=digits[0][:128])
    share = [channels[0] / 16, channels[1] / 32]
    expected = (64 * 9 * 16 * share[0] + 16 * 9 * 16 * 32 * share[0] * share[1] + 512 * 10 * share[1]) / macs(full)
    assert macs(blob) / macs(full) == pytest.approx(expected, rel=0.02) and expected < 0.7
    bytes_of = [tfe.receipt(b).totals["raw_bytes"] for b in (blob, full)]
    assert bytes_of[0] < 0.7 * bytes_of[1]
    shapes = [row["shape"] for row in tfe.receipt(blob).rows if row["op"] == "CONV_2D" and len(row["shape"]) == 4]
    assert shapes == [[channels[0], 3, 3, 1], [channels[1], 3, 3, channels[0]]]


def test_a_gate_left_in_the_model_is_exported_as_a_product(digits: Data) -> None:
    gated = tfc.edits.insert_bottlenecks(network(), kl=5e-3, seed=0)
    fitted(gated, digits, 2)
    gated.get_layer("relu_2_bottleneck").ratio.assign([0.1] * 8 + [-1.0] * 24)
    blob = tfe.convert(gated, representative_dataset=digits[0][:128])
    tfe.verify(blob, digits[2][:8], keras_model=gated).raise_if_different()
    codes = tfe.Interpreter(model_content=blob).predict(digits[2])
    assert np.mean(codes.argmax(-1) == np.asarray(gated(digits[2])).argmax(-1)) > 0.98


def test_nothing_is_pruned_for_free_and_more_for_a_higher_price(digits: Data) -> None:
    counts = []
    for kl in (0.0, 1e-3, 1e-2, 1e-1):
        gated = tfc.edits.insert_bottlenecks(network(), kl=kl, seed=0)
        fitted(gated, digits, 6, rate=1e-2)
        counts.append(sum(kept(gated)))
    assert counts[0] == 48 and counts == sorted(counts, reverse=True) and len({*counts}) >= 3
    assert tfc.edits.remove_channels(tfc.edits.insert_bottlenecks(network())).count_params() == network().count_params()


def test_a_wide_student_finds_the_width_of_its_teacher() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(32, 24)), rng.normal(size=(24, 10))
    x = rng.normal(size=(8000, 32)).astype(np.float32)
    y = (np.maximum(x @ first, 0) @ second).argmax(-1)

    def student(kl: float) -> tuple[list[int], float]:
        keras.utils.set_random_seed(0)
        stack: list[Any] = [keras.Input((32,))]
        for k in range(2):
            stack.append(layers.Dense(128, activation="relu"))
            stack.append(tfc.layers.InformationBottleneck(kl=kl, seed=k))
        model = keras.Sequential([*stack, layers.Dense(10)])
        model.compile(keras.optimizers.Adam(5e-3), LOSS, metrics=["accuracy"])
        model.fit(x[:4000], y[:4000], batch_size=128, epochs=40, verbose=0)
        return kept(model), float(model.evaluate(x[4000:], y[4000:], verbose=0)[1])

    (free, reference), (paid, accuracy) = student(0.0), student(5e-3)
    assert free == [128, 128]
    assert all(16 <= count <= 48 for count in paid)
    assert accuracy > reference - 0.01
