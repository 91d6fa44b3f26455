"""Each preset, trained for a few seconds on digits, saves what it is named for, and the file still reads them."""

import dataclasses
import functools
import zlib

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pytestmark = pytest.mark.slow

BATCH, EPOCHS, STEPS = 32, 6, 252
PIXELS, LABELS = load_digits(return_X_y=True)
X, Y = (PIXELS.reshape(-1, 8, 8, 1) / 16).astype("float32")[:1344], LABELS[:1344]
X_TEST, Y_TEST = (PIXELS.reshape(-1, 8, 8, 1) / 16).astype("float32")[1344:], LABELS[1344:]


def fit(model: keras.Model, rate: float, callbacks: list[keras.callbacks.Callback] | None = None) -> keras.Model:
    """Six epochs of Adam, one cosine to zero."""
    keras.utils.set_random_seed(1)
    cosine = keras.optimizers.schedules.CosineDecay(rate, STEPS)
    model.compile(keras.optimizers.Adam(cosine), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, callbacks=callbacks, verbose=0)
    return model


@functools.cache
def trained() -> keras.Model:
    """Kernels of 288, twice 9,216, 32,768 and 640 weights, so that every rule of a preset meets one."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 1))
    for k, filters in enumerate((32, 32, 32)):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{k}")(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name=f"norm{k}")(x))
    x = layers.Dense(64, activation="relu", name="fc0")(layers.Flatten()(layers.MaxPooling2D()(x)))
    return fit(keras.Model(inputs, layers.Dense(10, name="fc1")(x)), 1e-3)


@dataclasses.dataclass(frozen=True)
class File:
    """A .tflite file and what it needs."""

    blob: bytes

    @classmethod
    def of(cls, model: keras.Model) -> "File":
        """As it is deployed."""
        return cls(tfe.convert(model, X[:256]))

    @property
    def stored(self) -> int:
        """Bytes behind zlib -9."""
        return len(zlib.compress(self.blob, 9))

    @property
    def work(self) -> dict[str, float]:
        """Multiply-accumulates: all, and those that gates leave on the test images."""
        totals = tfe.executed(self.blob, X_TEST).totals
        return {"macs": totals["macs"], "executed": totals["executed_macs"]}

    @property
    def accuracy(self) -> float:
        """On the test images, of the interpreter."""
        return float(np.mean(tfe.Interpreter(model_content=self.blob).predict(X_TEST).argmax(axis=-1) == Y_TEST))

    def kernels(self) -> dict[str, np.ndarray]:
        """Codes by name of the layer."""
        found = (t for t in tfe.flatbuffer.read(self.blob).tensors if t.data is not None and t.name.endswith("/kernel"))
        return {tensor.name.split("/")[0]: np.asarray(tensor.data) for tensor in found}


@functools.cache
def preset(name: str) -> File:
    recipe = tfc.presets.load(name, STEPS)
    small = fit(recipe.start(trained(), X), recipe.learning_rate, recipe.callbacks())
    return File.of(recipe.finish(small, X))


@functools.cache
def int8() -> File:
    """What all of them stand beside."""
    return File.of(trained())


LARGE = ("conv1", "conv2", "fc0")


@pytest.mark.parametrize("name", tfc.presets.names())
def test_the_file_of_each_still_reads_digits(name: str) -> None:
    assert preset(name).accuracy > int8().accuracy - 0.03 > 0.9


def test_small_is_a_quarter_and_multiplies_less() -> None:
    assert preset("small").stored < int8().stored / 4
    assert preset("small").work["macs"] < 0.8 * int8().work["macs"]


def test_tiny_is_smaller_than_small_and_has_a_third_of_the_multiplications() -> None:
    assert preset("tiny").stored < preset("small").stored
    assert preset("tiny").work["macs"] < int8().work["macs"] / 3


def test_precise_keeps_four_bits_of_every_large_kernel_and_prunes_none() -> None:
    kernels = preset("precise").kernels()
    assert {name: int(np.abs(kernels[name]).max()) for name in LARGE} == dict.fromkeys(LARGE, 7)
    assert all(np.mean(kernels[name] == 0) < 0.4 for name in LARGE)
    assert preset("precise").stored < 0.4 * int8().stored


def test_balanced_has_four_weights_left_in_sixteen_input_channels() -> None:
    for name in LARGE:
        groups = preset("balanced").kernels()[name].reshape(-1, 16)
        assert np.count_nonzero(groups, axis=1).max() == 4
    assert preset("balanced").stored < int8().stored / 2


def test_multiplierless_only_shifts() -> None:
    assert tfe.receipt(preset("multiplierless").blob).shift_only
    assert not tfe.receipt(int8().blob).shift_only


def test_gated_leaves_out_multiplications() -> None:
    work = preset("gated").work
    assert work["executed"] < 0.8 * int8().work["macs"]
    assert len(tfe.executed(preset("gated").blob, X_TEST).macs) == len(X_TEST)
