"""Normalised in training, in batches of two, and in the file not there at all."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe
from tfcompress.normalization.lagrange import moments
from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow


def network(normalised: bool) -> keras.Model:
    """Convolutions whose weights start 1.6 times too large, with or without the layers."""
    keras.utils.set_random_seed(0)
    stack: list[Any] = [keras.Input((8, 8, 1))]
    for k, filters in enumerate((8, 16, 16)):
        start = keras.initializers.VarianceScaling(2 * 1.6**2, seed=k)
        stack.append(layers.Conv2D(filters, 3, padding="same", kernel_initializer=start, name=f"conv_{k}"))
        stack += [tfc.layers.LagrangeNormalization(name=f"normal_{k}")] if normalised else []
        stack += [layers.ReLU(name=f"relu_{k}"), layers.MaxPooling2D(name=f"pool_{k}")]
    return keras.Sequential([*stack, layers.Flatten(name="flat"), layers.Dense(10, name="head")], name="digits")


def test_from_fit_to_a_file_that_knows_nothing_of_it(tmp_path: Path) -> None:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    x, y, x_test, y_test = images[:1346], labels[:1346], images[1346:], labels[1346:]
    model = network(normalised=True)
    before = _variances(model, x_test)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, global_clipnorm=5)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=67, jit_compile=False)
    model.fit(x, y, batch_size=2, epochs=3, verbose=0)
    assert model.evaluate(x_test, y_test, verbose=0)[1] > 0.85
    after = _variances(model, x_test)
    assert all(abs(variance - 1) < 0.15 for variance in after) and max(before) > 1.5

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x_test), model(x_test))
    blob = tfe.convert(again, representative_dataset=x[:128])
    tfe.verify(blob, x_test[:16], keras_model=again).raise_if_different()

    without = network(normalised=False)
    without.set_weights([w.numpy() for w in model.weights if "multiplier" not in w.path])
    other = tfe.convert(without, representative_dataset=x[:128])
    assert [op.kind for op in read(blob).ops] == [op.kind for op in read(other).ops]
    assert len(blob) == len(other)
    outputs = [tfe.Interpreter(model_content=b).predict(x_test) for b in (blob, other)]
    np.testing.assert_array_equal(*outputs)


def test_in_batches_of_two_it_trains_a_deep_network_and_batch_normalization_does_not() -> None:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    accuracies = {}
    for kind in (tfc.layers.LagrangeNormalization, layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        stack: list[Any] = [keras.Input((8, 8, 1))]
        for filters, stride in [(16, 2), (16, 1), (32, 2), (32, 1), (32, 2), (32, 1)]:
            stack.append(layers.Conv2D(filters, 3, stride, padding="same", kernel_initializer="he_normal"))
            stack += [kind(), layers.ReLU()]
        model = keras.Sequential([*stack, layers.Flatten(), layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.SGD(0.01, global_clipnorm=5)
        model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=96, jit_compile=False)
        model.fit(images[:1344], labels[:1344], batch_size=2, epochs=2, verbose=0)
        accuracies[kind.__name__] = model.evaluate(images[1344:], labels[1344:], verbose=0)[1]
    assert accuracies["LagrangeNormalization"] > accuracies["BatchNormalization"] + 0.1, accuracies


def _variances(model: keras.Model, x: np.ndarray) -> list[float]:
    inside = keras.Model(model.inputs[0], [model.get_layer(f"normal_{k}").output for k in range(3)])
    return [float(moments(value)[1]) for value in inside(x)]
