"""docs/*.md: their programs run as they stand, block by block, in one namespace a page."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import tfcompress as tfc
import tflite_export as tfe

DOCS = Path(__file__).resolve().parents[1] / "docs"
pytestmark = pytest.mark.slow


def run(page, names):
    """Executes the blocks of a page; an error tells its line."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for block in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        above = text[: block.start(1)].count("\n")
        exec(compile("\n" * above + block.group(1), page, "exec"), names)
    return names


def test_custom_layers():
    x = np.random.default_rng(0).random((64, 8), np.float32) - 0.5
    names = run("custom_layers.md", {"keras": keras, "np": np, "tfc": tfc, "tfe": tfe, "x": x})
    receipt = str(tfe.receipt(names["blob"]))
    assert "residual" in receipt
    tfe.verify(names["blob"], x[:4], keras_model=names["small"])


@pytest.mark.evidence
def test_machines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = re.search(r"```toml\n(.*?)```", (DOCS / "machines.md").read_text(encoding="utf-8"), re.DOTALL)
    Path("ours.toml").write_text(machine.group(1), encoding="utf-8")
    layers = [keras.layers.Conv2D(32, 3, name="conv"), keras.layers.Flatten(), keras.layers.Dense(4, name="head")]
    model = keras.Sequential([keras.Input((8, 8, 8)), *layers])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).random((32, 8, 8, 8), np.float32)
    names = {"keras": keras, "tfc": tfc, "tfe": tfe, "model": model, "loss": "mse", "x": x, "y": np.zeros((32, 4))}
    names = run("machines.md", {**names, "blob": tfe.convert(model, x)})
    assert names["cycles"](names["small"]) <= 0.6 * names["cycles"](model) and Path("cheapest.keras").exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_from_tfmot(tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.syspath_prepend(DOCS.parent / "tests/tfcompress")
    from interop import zoo

    monkeypatch.chdir(tmp_path)
    plain = zoo.network()
    zoo.pruned(plain).save("pruned.h5")
    images, labels = zoo.IMAGES[:128], zoo.LABELS[:128]
    names = {"keras": keras, "np": np, "tf": tf, "tfc": tfc, "tfe": tfe, "tfmot": zoo.tfmot, "tf_keras": zoo.tf_keras}
    names |= {"images": images, "labels": labels, "fresh": zoo.fresh, "float_model": plain}
    names |= {"representative_dataset": lambda: ([image[None]] for image in images)}
    names |= {"model": tfc.interop.tfmot.from_tfmot(plain)}
    run("from_tfmot.md", names)
