"""Counting what a file with gates really computes."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import tflite_export as tfe
from tfcompress.layers import ChannelGate

X = np.random.default_rng(0).normal(size=(30, 6, 6, 2)).astype(np.float32)
LABELS = np.arange(30) % 3
GATE = "gate/gate_switch/gates"


@pytest.fixture(scope="module")
def blob() -> bytes:
    """Half of 8 filters are on: the first four for bright images, the others for dark ones."""
    inputs = keras.Input((6, 6, 2), name="image")
    gate = ChannelGate(units=2, normalize=False, name="gate")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="last")(gate([x, inputs]))
    model = keras.Model(inputs, layers.Flatten()(x))
    bright = np.array([1.0] * 4 + [-1.0] * 4)
    gate.hidden.kernel.assign([[1.0, -1.0], [0.0, 0.0]])
    gate.logits.kernel.assign([bright, -bright])
    gate.logits.bias.assign([0.0] * 8)
    return tfe.convert(model, X)


def test_executed_filters_and_what_reads_them_are_counted(blob: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(blob)
    result = tfe.executed(tmp_path / "m.tflite", X)
    rows = {row["layer"]: row for row in result.rows}
    conv, last = rows["conv"], rows["last"]
    assert (conv["macs"], conv["executed_macs"], conv["filters"], conv["gate"]) == (5184, 2592, 4, GATE)
    assert (last["macs"], last["executed_macs"], last["inputs"], last["gate"]) == (10368, 5184, 4, "")
    assert result.totals["macs"] == tfe.npu.estimate(blob, "systolic-16-os").totals["macs"]
    assert result.macs.shape == (30,) and result.macs.mean() == result.totals["executed_macs"]
    ((name, open_),) = result.open_gates.items()
    assert name == GATE and np.array_equal(open_[:, :4], ~open_[:, 4:])
    np.testing.assert_array_equal(result.rates()[name], open_.mean(axis=0))
    np.testing.assert_allclose(result.rates(LABELS)[name], [open_[k::3].mean(axis=0) for k in range(3)])
    assert f"5,184     2,592    50%  {GATE}" in str(result) and str(result).splitlines()[-1].startswith("total")


def test_outputs_are_those_of_the_interpreter(blob: bytes) -> None:
    run = tfe.Interpreter(model_content=blob)
    details = run.get_input_details()[0]
    scale, zero_point = details["quantization"]
    codes = np.clip(np.rint(X / scale) + zero_point, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(tfe.executed(blob, codes).outputs[0], run.predict(codes))


def test_data_and_labels_must_fit(blob: bytes) -> None:
    with pytest.raises(ValueError, match=r"`data` must hold arrays of shapes \[\('samples', 6, 6, 2\)\]. Received"):
        tfe.executed(blob, X[:, :5])
    with pytest.raises(ValueError, match="`labels` must hold a class for each of 30 samples. Received: 3"):
        tfe.executed(blob, X).rates([0, 1, 2])
