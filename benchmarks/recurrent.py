"""Pruned gates of LSTMs on two tasks, beside magnitude pruning to the same zeros and a narrower LSTM.

    python benchmarks/recurrent.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

    rows         Fashion-MNIST, read as 28 rows of 28 pixels by an LSTM of 64 units
    characters   the next character of English text: the help texts of the Python that runs this, 40 characters at a
                 time, by an Embedding of 24 and an LSTM of 96 units; as many windows as the other task has images

Each float network is trained for 10 epochs of Adam at 3e-3; all rows go on from it for 6 epochs of Adam at 1e-3, with
one cosine to zero each time:

    float, six more epochs   the control
    deviations               ``GatePruning(quality=1)``: weights of i, f and o below the deviation of their gate go
    quantile                 ``GatePruning(sparsity=0.75)``: three quarters of each of these gates
    magnitude                ``MagnitudePruning``, all gates alike, to the zeros of ``quantile``
    narrow                   an LSTM with as many weights as ``quantile`` leaves, trained from the start for 16 epochs

Accuracy is that of the int8 .tflite file on our interpreter; cycles are those of an array that skips zeros.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np
from keras import layers

import tfcompress as tfc
import tflite_export as tfe

NAME, EPOCHS, MORE = "recurrent", 10, 6
WINDOW, EMBEDDED, TESTED = 40, 24, 10_000
UNITS = {"rows": 64, "characters": 96}
ZEROS = 0.75
"""Of the input, forget and output gates."""


@functools.cache
def characters(windows: int) -> tuple[fashion.Data, int]:
    """Windows of text and the characters behind them, from topics not shared with the tests; and how many kinds."""
    from pydoc_data import topics

    texts = [topics.topics[name] for name in sorted(topics.topics)]
    codes = {code: k for k, code in enumerate(sorted(set("".join(texts))))}

    def cut(texts: list[str], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.array([codes[code] for code in "\n".join(texts)], np.int32)
        starts = np.random.default_rng(seed).choice(len(numbers) - WINDOW, count, replace=False)
        return numbers[starts[:, None] + np.arange(WINDOW)], numbers[starts + WINDOW]

    return (*cut(texts[1::2], windows, 0), *cut(texts[::2], TESTED, 1)), len(codes)


def task(name: str, of: fashion.Data) -> tuple[fashion.Data, int]:
    """Sequences and what they mean, and the number of classes."""
    if name == "characters":
        return characters(len(of[0]))
    return (of[0][..., 0], of[1], of[2][..., 0], of[3]), 10


def network(name: str, classes: int, units: int) -> keras.Model:
    """One LSTM and a head, not trained."""
    inputs = x = keras.Input((28, 28), name="image") if name == "rows" else keras.Input((WINDOW,), dtype="int32")
    x = x if name == "rows" else layers.Embedding(classes, EMBEDDED, name="embedding")(x)
    return keras.Model(inputs, layers.Dense(classes, name="head")(layers.LSTM(units, name="lstm")(x)))


def fit(model: keras.Model, of: fashion.Data, seed: int, rate: float, epochs: int) -> keras.Model:
    """One cosine to zero."""
    return fashion.fit(model, of, seed, fashion.cosine(of, epochs, rate), epochs)


def float_network(name: str, of: fashion.Data, classes: int, seed: int) -> keras.Model:
    """The trained float network of a task."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(seed)
        return fit(network(name, classes, UNITS[name]), of, seed, 3e-3, EPOCHS)

    return fashion.kept(f"{name}-{len(of[0])}-{seed}", make)


def magnitude(zeros: float, **more: Any) -> tfc.MagnitudePruning:
    """At once, before the first step."""
    return tfc.MagnitudePruning(tfc.ConstantSparsity(zeros, end_step=0), **more)


def rules(job: str, model: keras.Model) -> tfc.Transform:
    """What goes onto both kernels of the LSTM."""
    gates = dict.fromkeys("ifo", ZEROS)
    return {
        "deviations": lambda: tfc.GatePruning(quality=dict.fromkeys("ifo", 1.0), deviations=tfc.gate_deviations(model)),
        "quantile": lambda: tfc.GatePruning(sparsity=gates),
        "magnitude": lambda: magnitude(ZEROS * 3 / 4),
    }[job]()


def narrow(name: str, classes: int) -> int:
    """Units of an LSTM with no more weights than ``quantile`` leaves."""
    kept, inputs = 1 - ZEROS * 3 / 4, 28 if name == "rows" else EMBEDDED
    weights = (inputs + UNITS[name]) * UNITS[name] * kept
    return max(units for units in range(1, UNITS[name]) if (inputs + units) * units <= weights)


def trained(job: str, name: str, of: fashion.Data, classes: int, seed: int) -> keras.Model:
    """The model of a row."""
    if job == "narrow":
        keras.utils.set_random_seed(seed)
        return fit(network(name, classes, narrow(name, classes)), of, seed, 3e-3, EPOCHS + MORE)
    model = float_network(name, of, classes, seed)
    if job != CONTROL:
        model = tfc.compress(model, {"lstm": {"kernel": rules(job, model)}})
    return fit(model, of, 100 + seed, 1e-3, MORE)


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and scores one row."""
    name, _, kind = job.partition(": ")
    data, classes = task(name, of)
    model = trained(kind, name, data, classes, seed)
    blob = tfe.convert(model, data[0][:500], inference_output_type="float32")
    right = np.argmax(tfe.Interpreter(model_content=blob).predict(data[2], batch_size=500), axis=-1) == data[3]
    lstm = [row for row in tfe.receipt(blob).rows if row["tensor"].startswith("lstm/") and row["elements"] > 500]
    zeros = {row["tensor"]: round(row["zeros"] / row["elements"], 3) for row in lstm}
    return {
        "accuracy": round(100 * float(np.mean(right)), 2),
        "zeros": round(100 * sum(row["zeros"] for row in lstm) / sum(row["elements"] for row in lstm), 2),
        "weights": int(sum(row["elements"] for row in lstm)),
        "cycles": float(tfe.npu.estimate(blob, machine="balanced-16x16").totals["cycles_total"]),
        "zeros_by_tensor": zeros,
    }


CONTROL = "float, six more epochs"
JOBS = [f"{name}: {job}" for name in UNITS for job in (CONTROL, "quantile", "magnitude", "deviations", "narrow")]


def technique(job: str) -> str | None:
    """Whose control a row is."""
    name, _, kind = job.partition(": ")
    return f"{name}: quantile" if kind in ("magnitude", "narrow") else None


COLUMNS: dict[str, comparison.Column] = {
    "weights of the LSTM": comparison.averaged("weights"),
    "zeros": lambda found: comparison.spread(found, "zeros"),
    "cycles": comparison.averaged("cycles"),
}

if __name__ == "__main__":
    comparison.main(NAME, JOBS, run, comparison.table(JOBS, COLUMNS, technique))
