"""Gate pruning and recurrent networks, from ``fit`` to integers that LiteRT confirms, on rows of handwritten digits."""

from collections.abc import Callable
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

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load_digits(return_X_y=True)
    return (pixels.reshape(-1, 8, 8) / 16).astype(np.float32), labels


def trained(body: Callable[[], layers.Layer], digits: tuple[np.ndarray, np.ndarray], epochs: int = 10) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8)), body(), layers.Dense(10, name="head")])
    return refitted(model, digits, 1e-2, epochs)


def refitted(model: keras.Model, digits: tuple[np.ndarray, np.ndarray], rate: float, epochs: int) -> keras.Model:
    model.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
    model.fit(digits[0][:1347], digits[1][:1347], batch_size=64, epochs=epochs, verbose=0)
    return model


def accuracies(model: keras.Model, blob: bytes, digits: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Keras and the exported integers, in points, on the held-out images."""
    x, y = digits[0][1347:], digits[1][1347:]
    exported = tfe.Interpreter(model_content=blob).predict(x).argmax(axis=-1)
    return 100 * float(model.evaluate(x, y, verbose=0)[1]), 100 * float(np.mean(exported == y))


def zeros_by_gate(blob: bytes, slot: str) -> dict[str, float]:
    weights = {t.name: t.data for t in read(blob).tensors if t.data is not None}
    return {gate: float(np.mean(weights[f"lstm/{slot}/{gate}"] == 0)) for gate in "ifco"}


def test_pruned_gates_are_zeros_in_the_tensors_of_the_fused_op(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    dense = trained(lambda: layers.LSTM(32, name="lstm"), digits)
    chain = tfc.Chain([tfc.GatePruning(1.0), tfc.LSQ(bits=8)])
    small = tfc.compress(dense, {".*": {"output": tfc.LSQ(bits=8)}, "lstm": {"kernel": chain}})
    tfc.calibrate(small, digits[0][:256])
    refitted(small, digits, 2e-3, 5)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    blob, unpruned = (tfe.convert(m, digits[0][:256]) for m in (loaded, dense))
    tfe.verify(blob, digits[0][-16:], keras_model=small).raise_if_different()
    receipt = tfe.receipt(blob, keras_model=small)
    assert receipt.ok and {r["slot"] for r in receipt.requests} >= {"cell.kernel/i", "cell.recurrent_kernel/o"}
    for slot in ("cell.kernel", "cell.recurrent_kernel"):
        zeros, dropped = zeros_by_gate(blob, slot), zeros_by_gate(unpruned, slot)
        assert min(zeros[gate] for gate in "ifo") > 0.55 and max(dropped.values()) < 0.1
        assert zeros["c"] < 0.05  # what 8 bits round to zero
    (before, _), (in_keras, exported) = accuracies(dense, unpruned, digits), accuracies(small, blob, digits)
    assert abs(in_keras - exported) <= 0.5 and exported > before - 3
    costs = [tfe.npu.estimate(b).totals["dram_read_bytes"] for b in (blob, unpruned)]
    assert costs[0] < 0.9 * costs[1]


def test_a_damaged_receipt_names_the_gate(digits: tuple[np.ndarray, np.ndarray]) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8)), layers.LSTM(8, name="lstm")])
    small = tfc.compress(model, {"lstm": {"kernel": tfc.Chain([tfc.GatePruning(), tfc.LSQ(bits=8)])}})
    blob = tfe.convert(small, digits[0][:64])
    small.get_layer("lstm").layer.cell.recurrent_kernel.assign_add(0.2 * np.eye(8, 32, 8, dtype=np.float32))
    problems = "\n".join(tfe.receipt(blob, keras_model=small).problems)
    assert "cell.recurrent_kernel/f" in problems and "cell.kernel/" not in problems


BODIES = {
    "lstm": lambda: layers.LSTM(32, name="r"),
    "bidirectional": lambda: layers.Bidirectional(layers.LSTM(20), name="r"),
    "gru": lambda: layers.GRU(24, name="r"),
    "simple_rnn": lambda: layers.SimpleRNN(32, name="r"),
}


@pytest.mark.parametrize("name", BODIES)
def test_exported_recurrent_networks_are_as_good_as_keras_and_equal_the_reference_kernels(
    name: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    model = trained(BODIES[name], digits)
    blob = tfe.convert(model, digits[0][:256])
    verification = tfe.verify(blob, digits[0][-16:], keras_model=model)
    verification.raise_if_different()
    assert verification.total("reference")[0] == 0
    in_keras, exported = accuracies(model, blob, digits)
    assert abs(in_keras - exported) <= 0.5 and in_keras > 75, (in_keras, exported)
