"""A derived network, from the base's answers to integers that LiteRT confirms; the base is not in the file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

from . import derived_peer

pytestmark = pytest.mark.slow

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return images[:1347], labels[:1347], images[1347:], labels[1347:]


@pytest.fixture(scope="module")
def base(digits: Data) -> keras.Model:
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False, name="conv")]
    stack += [layers.BatchNormalization(momentum=0.9, name="norm"), layers.ReLU(name="relu")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Flatten(), layers.Dense(10, name="head")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss, jit_compile=False)
    model.fit(*digits[:2], batch_size=64, epochs=6, verbose=0)
    return model


def test_a_compressed_student_goes_from_answers_to_a_file(base: keras.Model, digits: Data, tmp_path: Path) -> None:
    x, _, x_test, y_test = digits
    before = base.get_weights()
    narrow = tfc.edits.introduce_layer(base, 10, x, at="conv", mode="narrow")
    student = tfc.compress(narrow, {".*": {"kernel": tfc.LSQ(bits=3), "output": tfc.LSQ(bits=8)}})
    tfc.calibrate(student, x[:128])
    start = student.predict(x_test, verbose=0).argmax(-1)
    derived = tfc.DerivedModel(base, student, tfc.targets.Uniform(4, from_logits=True))
    derived.compile(keras.optimizers.Adam(2e-3), LOSS, metrics=["accuracy"], jit_compile=False)
    derived.fit(x, batch_size=64, epochs=5, verbose=0)
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

    derived.save(tmp_path / "derived.keras")
    loaded = keras.models.load_model(tmp_path / "derived.keras").student
    blob = tfe.convert(loaded, representative_dataset=x[:128])
    tfe.verify(blob, x_test[:8], keras_model=student).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=student)
    kernels = {row["tensor"].split("/")[0]: row for row in receipt.rows if row["tensor"].endswith("/kernel")}
    assert receipt.ok and {*kernels} == {"conv", "head"}
    assert all(row["true_bits"] <= 3 for row in kernels.values()) and kernels["conv"]["shape"][0] == 10
    full = tfe.receipt(tfe.convert(base, representative_dataset=x[:128]))
    assert receipt.totals["raw_bytes"] < 0.6 * full.totals["raw_bytes"]

    teacher = base.predict(x_test, verbose=0).argmax(-1)
    exported = tfe.Interpreter(model_content=blob).predict(x_test).argmax(-1)
    agreement = float(np.mean(exported == teacher))
    assert agreement > 0.94 and agreement > float(np.mean(start == teacher))
    assert float(np.mean(exported == y_test)) > float(np.mean(teacher == y_test)) - 0.04


def test_jax_agrees(tmp_path: Path) -> None:
    """The student after training, kept codes, their loss, an introduced layer and a reader solved anew."""
    pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(128, 8)).astype(np.float32)}
    for name in ("base", "student"):
        for k, shape in enumerate([(8, 6), (6,), (6,), (6,), (6,), (6, 3), (3,)]):
            arrays[f"{name}_{k}"] = np.abs(rng.normal(size=shape)) + 0.5 if k == 4 else rng.normal(size=shape)
    np.savez(tmp_path / "weights.npz", **arrays)
    command = [sys.executable, "-W", "ignore", derived_peer.__file__, str(tmp_path / "weights.npz")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    on_jax = json.loads(run.stdout.splitlines()[-1])
    for one, other in zip(derived_peer.results(str(tmp_path / "weights.npz")), on_jax, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
