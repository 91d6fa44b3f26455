"""Channel gates on Fashion-MNIST, against networks that are narrower for every input, by what is really multiplied.

``fashion-resnet``: a 3x3 convolution of 16 channels and max pooling; two residual blocks of 16 channels at 14 x 14; a
1x1 convolution to 32 channels and max pooling; two residual blocks of 32 channels at 7 x 7; global average pooling;
dense 10. A block is a 3x3 convolution to twice its channels, batch norm, ReLU, a 3x3 convolution back, batch norm. A
static row makes the inside of all blocks narrower by a factor; a gated row has a gate behind the first convolution of
each block, which looks at what goes into the block. ``fashion.py`` says more about the data.

All rows train alike: Adam 3e-3 with one cosine to zero, 16 epochs. Batch-shaping fades, and the price of open channels
rises, from the first sixteenth of the steps to the ninth. Accuracy is that of the int8 .tflite file on
the 10,000 test images; multiply-accumulates are those that the interpreter executed when it left out what gates switch
off, on the first 2,000 of them. The control has gates without batch-shaping.

    python benchmarks/channel_gates.py [--images=15000] [--epochs=16] [--seeds=1,2,3] [--only=<regular expression>]
"""

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

NAME = "channel_gates"
PACKAGES = ("tensorflow", "keras", "numpy", "ai-edge-litert")
EPOCHS, RATE, COUNTED = 16, 3e-3, 2_000
WIDTHS = (0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
PRICES = {"gated": (0.05, 0.1, 0.2, 0.4, 0.8), "unshaped": (0.2, 0.4)}
"""Of the open channels of one gate; there are four gates."""

SHAPING = 0.75


def network(width: float = 1.0) -> keras.Model:
    """``fashion-resnet``, not trained, its blocks narrower by a factor inside."""

    def conv(x: Any, filters: int, size: int, name: str) -> Any:
        x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.MaxPooling2D()(layers.ReLU(name="stem_relu")(conv(inputs, 16, 3, "stem")))
    for k, channels in enumerate((16, 16, 32, 32), 1):
        if k == 3:
            x = layers.MaxPooling2D()(layers.ReLU(name="wider_relu")(conv(x, channels, 1, "wider")))
        y = layers.ReLU(name=f"inside_{k}")(conv(x, round(2 * channels * width), 3, f"block_{k}a"))
        y = conv(y, channels, 3, f"block_{k}b")
        x = layers.ReLU(name=f"block_{k}")(layers.Add(name=f"sum_{k}")([x, y]))
    return keras.Model(inputs, layers.Dense(10, name="head")(layers.GlobalAveragePooling2D()(x)))


def schedules(steps: int, price: float) -> list[keras.callbacks.Callback]:
    """Batch-shaping fades while the price of open channels rises."""
    first, last = steps // 16, 9 * steps // 16
    fade = tfc.schedules.Ramp(first, last, final=0.0, initial=SHAPING)
    return [
        tfc.callbacks.Anneal("shaping", fade, every=8),
        tfc.callbacks.Anneal("l0", tfc.schedules.Ramp(first, last, final=price), every=8),
    ]


def trained(job: str, of: fashion.Data, seed: int, epochs: int) -> keras.Model:
    """The model of a row."""
    kind, _, number = job.partition(" ")
    keras.utils.set_random_seed(seed)
    steps = fashion.steps(len(of[0]), epochs)
    if kind == "static":
        model, callbacks = network(float(number)), []
    else:
        regularizer = tfc.regularizers.BatchShaping() if kind == "gated" else None
        model = tfc.edits.insert_channel_gates(network(), "block_.a", regularizer=regularizer, seed=seed)
        callbacks = schedules(steps, float(number))
    return fashion.fit(model, of, seed, fashion.cosine(of, epochs, RATE), epochs, callbacks)


def scores(model: keras.Model, of: fashion.Data) -> dict[str, Any]:
    """Accuracy in percent, executed MACs a sample, and what the gates do on the test images."""
    blob = tfe.convert(model, of[0][:500], inference_output_type="float32")
    right = np.argmax(tfe.Interpreter(model_content=blob).predict(of[2], batch_size=250), axis=-1) == of[3]
    work = tfe.executed(blob, of[2][:COUNTED])
    rates = np.concatenate([*work.rates().values(), []])
    depends = (rates > 0.02) & (rates < 0.98)
    gates = {"open": rates, "conditional": depends} if len(rates) else {}
    return {
        "accuracy": round(100 * float(np.mean(right)), 2),
        "macs": int(work.totals["macs"]),
        "executed": round(float(work.totals["executed_macs"])),
        "spread": round(float(work.macs.std())),
        **{name: round(100 * float(np.mean(values)), 1) for name, values in gates.items()},
    }


def jobs() -> list[str]:
    """All rows."""
    gated = [f"{kind} {price}" for kind, prices in PRICES.items() for price in prices]
    return [*(f"static {width}" for width in WIDTHS), *gated]


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any], epochs: int) -> comparison.Row:
    """Trains and scores one row."""
    return scores(trained(job, of, seed, epochs), of)


def above_static(runs: comparison.Runs, job: str) -> str:
    """By how much a row is above static networks of as many MACs, between which a line is drawn, seed by seed."""
    found = []
    for done in runs.values():
        static = sorted((row["macs"], row["accuracy"]) for name, row in done.items() if name.startswith("static"))
        row = done.get(job)
        if row and static and static[0][0] <= row["executed"] <= static[-1][0]:
            macs, accuracies = np.transpose(static)
            line = np.interp(np.log(row["executed"]), np.log(macs), accuracies)
            found.append({"by": row["accuracy"] - float(line)})
    return comparison.spread(found, "by", "+.2f", "") if found else ""


def table(runs: comparison.Runs) -> list[dict[str, str]]:
    """The usual one, and how gated rows compare with static ones."""
    lines = comparison.table(jobs(), COLUMNS)(runs)
    gated = {name: above_static(runs, name) for name in jobs() if not name.startswith("static")}
    return [{**line, "above static at these MACs, points": gated.get(line["row"], "")} for line in lines]


COLUMNS = {
    "MACs executed": comparison.averaged("executed", "{:.2f} M", 1e-6),
    "gates open": comparison.averaged("open", "{:.0f} %"),
    "gates that depend on the input": comparison.averaged("conditional", "{:.0f} %"),
}

if __name__ == "__main__":
    comparison.main(NAME, jobs(), run, table, PACKAGES, epochs=EPOCHS)
