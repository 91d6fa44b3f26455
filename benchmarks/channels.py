"""Channels that a network does not need, on Fashion-MNIST: found by noise, or told by the norms of kernels.

    python benchmarks/channels.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

Two networks of ``fashion.py``. All rows start from the same float networks, and have six epochs:

    bottlenecks <kl>   four epochs with ``insert_bottlenecks`` at that price, raised from 0 over the first; then
                       ``remove_channels`` and two epochs
    norms <kl>         as many channels in each layer, those of the largest kernels, removed at once; then six epochs
    chance <kl>        as many, chosen by chance, likewise
    narrow <kl>        a network of those widths, trained from the start for sixteen epochs

Accuracy is that of the int8 .tflite file on our interpreter; cycles are those of a dot engine, which gains from
channels that are gone, not from zeros.
"""

import os
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np

import tfcompress as tfc
import tflite_export as tfe

NAME, MACHINE = "channels", "ethos-u55-128-like"
PRICES = {"fashion-cnn": (2e-4, 3e-4), "resnet-20": (5e-4, 1e-3)}
GATED, AFTER, PACE = 4, 2, 400.0
"""Epochs with gates, epochs without them, and how fast gates move."""

KINDS = ("bottlenecks", "norms", "chance", "narrow")
CONTROL = "float, six more epochs"
JOBS = [f"{net}: {job}" for net in PRICES for job in (CONTROL, *(f"{k} {p:g}" for p in PRICES[net] for k in KINDS))]


def bottlenecks(model: keras.Model, of: fashion.Data, seed: int, price: float) -> keras.Model:
    """Gates learn, closed channels go, and the rest is trained on; one cosine each."""
    gated = tfc.edits.insert_bottlenecks(model, seed=seed, speed=PACE)
    rising = tfc.callbacks.Anneal("kl", tfc.schedules.Ramp(0, fashion.steps(len(of[0]), 1), final=price))
    fashion.fine_tuned(gated, of, seed, [rising], epochs=GATED)
    return fashion.fine_tuned(tfc.edits.remove_channels(gated), of, 100 + seed, epochs=AFTER)


def importance(model: keras.Model, facts: tfc.costs.Facts) -> np.ndarray:
    """Of each channel: the squares of all kernels that make it, summed."""
    total = np.zeros(facts.channels.count)
    for kernel in facts.kernels:
        weights = keras.ops.convert_to_numpy(model.get_layer(kernel.call.path).kernel)
        squares = np.sum(weights**2, axis=tuple(range(weights.ndim - 1)))
        np.add.at(total, facts.channels.numbers[kernel.call.outputs[0]], squares)
    return total


def cut(model: keras.Model, counts: Mapping[str, int], seed: int | None) -> keras.Model:
    """Keeps so many channels of each layer: the most important ones, or (with a seed) any."""
    facts = tfc.costs.Facts(model)
    total = importance(model, facts) if seed is None else np.random.default_rng(seed).random(facts.channels.count)
    keep = {}
    for kernel in facts.kernels:
        path = kernel.call.path
        order = np.argsort(-total[facts.channels.numbers[kernel.call.outputs[0]]], kind="stable")
        keep[path] = np.sort(order[: counts[path]])
    return tfc.edits.remove_channels(model, keep)


def widths(model: keras.Model) -> dict[str, int]:
    """Channels that each kernel makes."""
    return {k.call.path: int(k.call.outputs[0].shape[-1]) for k in tfc.costs.Facts(model).kernels}


def fresh(model: keras.Model, seed: int) -> keras.Model:
    """The same layers, started anew."""
    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(model)


def trained(network: str, job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> keras.Model:
    """The model of a row; ``done`` has the channels that the bottlenecks left."""
    if job == CONTROL:
        return fashion.control(of, seed, name=network)
    model = fashion.float_network(of, seed, network)
    kind, _, price = job.partition(" ")
    if kind == "bottlenecks":
        return bottlenecks(model, of, seed, float(price))
    counts = done[f"{network}: bottlenecks {price}"]["widths"]
    small = cut(model, counts, seed if kind == "chance" else None)
    if kind != "narrow":
        return fashion.fine_tuned(small, of, seed)
    epochs = fashion.FLOAT_EPOCHS + fashion.EPOCHS
    return fashion.fit(fresh(small, seed), of, seed, fashion.cosine(of, epochs, 1e-3), epochs)


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and scores one row."""
    network, _, kind = job.partition(": ")
    model = trained(network, kind, of, seed, done)
    blob = tfe.convert(model, of[0][:500])
    return {
        **fashion.scores(model, of),
        "macs": tfc.costs.macs(model),
        "parameters": model.count_params(),
        "cycles": float(tfe.npu.estimate(blob, machine=MACHINE).totals["cycles_total"]),
        "widths": widths(model),
    }


def technique(job: str) -> str | None:
    """Whose control a row is."""
    network, kind, price = job.split(" ", 2)
    return f"{network} bottlenecks {price}" if kind in KINDS[1:] else None


COLUMNS = {
    "MACs": comparison.averaged("macs", "{:.2f} M", 1e-6),
    "parameters": comparison.averaged("parameters"),
    "cycles": comparison.averaged("cycles"),
}

if __name__ == "__main__":
    comparison.main(NAME, JOBS, run, comparison.table(JOBS, COLUMNS, technique))
