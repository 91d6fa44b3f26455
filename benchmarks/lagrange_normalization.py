"""Normalisation in batches of two: a deep plain CNN on Fashion-MNIST with each kind, from the same initial weights.

    python benchmarks/lagrange_normalization.py [--images=15000] [--batch=2] [--start=he] [--seeds=1,2,3] [--only=...]

Eleven 3x3 convolutions (16, 16, 32, 32, 32 and six times 64 channels, every second with stride 2), each with what the
row says and ReLU; dense 10. He-normal weights, which suit ReLUs, or (``--start=glorot``) those of Keras when nothing
is said, with which signals halve from layer to layer; SGD with the gradient clipped to norm 5 and one cosine to
zero, two epochs, at each of two rates. The table shows each row at the rate that is better on average, and

    trained    accuracy of the last epoch, as the training steps saw it
    test       accuracy on the 10,000 test images; far below ``trained``: statistics do not carry over to inference
    int8       the same of the exported file on our interpreter, and how many ops that file has
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read

NAME = "lagrange_normalization"
EPOCHS, RATES = 2, (0.01, 0.03)
STARTS = {"he": keras.initializers.HeNormal, "glorot": keras.initializers.GlorotUniform}
SIZES = [(16, 1), (16, 2), (32, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 2), (64, 1), (64, 2), (64, 1)]
"""Channels and stride of each convolution: 28 x 28 pixels become one, and a channel there as many numbers as images."""

Kind = Callable[[str], list[keras.layers.Layer]]


def axis(name: str) -> str:
    """Channels by themselves where they have positions; the last two maps have one."""
    return "layer" if name in ("normal9", "normal10") else "channel"


KINDS: dict[str, Kind] = {
    "none": lambda name: [],
    "BatchNormalization": lambda name: [layers.BatchNormalization(name=name)],
    "GroupNormalization 8": lambda name: [layers.GroupNormalization(8, name=name)],
    "LayerNormalization": lambda name: [layers.LayerNormalization(axis=(1, 2, 3), name=name)],
    "Lagrange": lambda name: [tfc.layers.LagrangeNormalization(initial=0.1, name=name)],
    "Lagrange, logarithm": lambda name: [tfc.layers.LagrangeNormalization(log=True, initial=0.1, name=name)],
    "Lagrange, per channel": lambda name: [tfc.layers.LagrangeNormalization(axis(name), initial=0.1, name=name)],
    "Lagrange, learned target": lambda name: [
        tfc.layers.LagrangeNormalization(learn_target=True, initial=0.1, name=name)
    ],
    "Lagrange: multipliers 0": lambda name: [tfc.layers.LagrangeNormalization(initial=0.0, rate=0.0, name=name)],
}


def network(kind: Kind, seed: int, start: str) -> keras.Model:
    """The deep plain CNN; its convolutions start the same whatever the kind."""
    initializer = STARTS[start]
    inputs = x = keras.Input((28, 28, 1), name="image")
    for k, (filters, stride) in enumerate(SIZES):
        first = initializer(seed=100 * seed + k)
        x = layers.Conv2D(filters, 3, stride, padding="same", kernel_initializer=first, name=f"conv{k}")(x)
        for layer in kind(f"normal{k}"):
            x = layer(x)
        x = layers.ReLU(name=f"relu{k}")(x)
    first = keras.initializers.GlorotUniform(seed=seed)
    return keras.Model(inputs, layers.Dense(10, kernel_initializer=first, name="fc")(layers.Flatten(name="flat")(x)))


def run(kind: Kind, of: fashion.Data, seed: int, rate: float, batch: int, start: str, epochs: int) -> dict[str, Any]:
    """Trains and scores one network."""
    x, y, x_test, y_test = of
    whole = len(x) // batch * batch
    keras.utils.set_random_seed(seed)
    model = network(kind, seed, start)
    schedule = keras.optimizers.schedules.CosineDecay(rate, whole // batch * epochs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(schedule, global_clipnorm=5)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=50, jit_compile=False)
    history = model.fit(x[:whole], y[:whole], batch_size=batch, epochs=epochs, verbose=0).history
    scored = {
        "trained": round(100 * history["accuracy"][-1], 2),
        "test": round(100 * model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1], 2),
        "variances": [round(float(v), 3) for v in variances(model, x_test[:1000])],
    }
    try:
        blob = tfe.convert(model, x[:500], inference_output_type="float32")
    except ValueError:
        return {**scored, "int8": None, "ops": None}
    right = tfe.Interpreter(model_content=blob).predict(x_test, batch_size=250).argmax(-1) == y_test
    return {**scored, "int8": round(100 * float(np.mean(right)), 2), "ops": len(read(blob).ops)}


def variances(model: keras.Model, x: np.ndarray) -> list[float]:
    """Of what each ReLU reads, on data not trained on."""
    inside = keras.Model(model.inputs[0], [model.get_layer(f"relu{k}").input for k in range(len(SIZES))])
    return [np.var(value) for value in inside.predict(x, batch_size=500, verbose=0)]


def jobs() -> dict[str, tuple[str, float]]:
    """Name of a row -> kind of normalisation, rate."""
    return {f"{kind} @ {rate}": (kind, rate) for kind in KINDS for rate in RATES}


def scored(
    job: str, of: fashion.Data, seed: int, done: Mapping[str, Any], batch: int, start: str, epochs: int
) -> comparison.Row:
    """Trains and scores one row."""
    kind, rate = jobs()[job]
    return run(KINDS[kind], of, seed, rate, batch, start, epochs)


def table(runs: comparison.Runs) -> list[dict[str, str]]:
    """One line a kind, at its better rate: mean and spread over the seeds."""
    lines = []
    for kind in KINDS:
        by_rate = {
            rate: [seed[f"{kind} @ {rate}"] for seed in runs.values() if f"{kind} @ {rate}" in seed] for rate in RATES
        }
        found = {rate: done for rate, done in by_rate.items() if done}
        if not found:
            continue
        rate = max(found, key=lambda r: np.mean([one["test"] for one in found[r]]))
        best = found[rate]
        reached = [variance for one in best for variance in one["variances"]]
        exported = [one for one in best if one["int8"] is not None]
        lines.append(
            {
                "normalisation": kind,
                "rate": str(rate),
                "trained": comparison.spread(best, "trained"),
                "test": comparison.spread(best, "test"),
                "int8": comparison.spread(exported, "int8") if exported else "not exported",
                "ops": str(best[0]["ops"] or ""),
                "variances": f"{min(reached):.2f} to {max(reached):.2f}",
                "seeds": str(len(best)),
            }
        )
    return lines


if __name__ == "__main__":
    comparison.main(NAME, jobs(), scored, table, batch=2, start="he", epochs=EPOCHS)
