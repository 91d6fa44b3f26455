"""What two edits save of a float network that is rounded or pruned and never trained again, on Fashion-MNIST.

    python benchmarks/post_training.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

Two float networks of the protocol in ``fashion.py``: ``fashion-cnn`` and ``fashion-mobile``. Each is changed in one
way, and then helped in one way, or not:

    <network>, weights ...: nothing               the control, rounded or pruned at once
    <network>, weights ...: analytic              ``edits.correct_bias`` by batch norms and the mean of the pixels
    <network>, weights ...: empirical             the same by 512 training images
    <network>, feature maps ...: nothing          one step for each feature map
    <network>, feature maps ...: scaled           ``edits.shift_and_scale`` before rounding, without shifts
    <network>, feature maps ...: both             with shifts
"""

import os
import warnings
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np

import tfcompress as tfc

NAME = "post_training"
LIKENESS = 2000
"""Test images on which outputs are compared with those of the float network."""

WEIGHTS: dict[str, Mapping[str, Any]] = {
    "weights 8 bits, one step a layer": {".*": {"kernel": tfc.MinMax(8, axis=())}},
    "weights 4 bits": {".*": {"kernel": tfc.MinMax(4)}},
    "weights 4 bits, one step a layer": {".*": {"kernel": tfc.MinMax(4, axis=())}},
    "weights 3 bits": {".*": {"kernel": tfc.MinMax(3)}},
    "weights 50 % zero": {"conv[1-9]|fc0": {"kernel": tfc.MagnitudePruning(tfc.ConstantSparsity(0.5, end_step=0))}},
    "weights 80 % zero": {"conv[1-9]|fc0": {"kernel": tfc.MagnitudePruning(tfc.ConstantSparsity(0.8, end_step=0))}},
}
"""What is done to the weights; of those that are pruned, first and last layer stay dense."""

FEATURE_MAPS = {f"feature maps {bits} bits": bits for bits in (8, 6, 4)}
REMEDIES = {**dict.fromkeys(WEIGHTS, ("nothing", "analytic", "empirical"))}
REMEDIES |= dict.fromkeys(FEATURE_MAPS, ("nothing", "scaled", "both"))


def changed(model: keras.Model, change: str, remedy: str, of: fashion.Data) -> keras.Model:
    """``model`` after one change and one remedy."""
    x = of[0][:1024]
    if change in FEATURE_MAPS:
        if remedy != "nothing":
            model = tfc.edits.shift_and_scale(model, x, shift=remedy == "both")
        small = tfc.compress(model, {".*": {"output": tfc.MinMax(FEATURE_MAPS[change])}, "fc1": {"output": None}})
        tfc.calibrate(small, x[:512])
        return small
    small = tfc.compress(model, WEIGHTS[change])
    if remedy == "analytic":
        return tfc.edits.correct_bias(small, input_mean=of[0].mean())
    return tfc.edits.correct_bias(small, x[:512]) if remedy == "empirical" else small


def scores(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Those of ``fashion.scores``, the squared error of the outputs in percent of the float outputs', and warnings."""
    network, change, remedy = parts(job)
    model = fashion.float_network(of, seed, network)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small = changed(model, change, remedy, of) if change else model
    expected, y = (m.predict(of[2][:LIKENESS], batch_size=250, verbose=0) for m in (model, small))
    error = 100 * np.mean((y - expected) ** 2) / np.var(expected)
    said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return {**fashion.scores(small, of), "error": round(float(error), 3), "warnings": said}


def jobs() -> list[str]:
    """All rows, each control before what it is compared with."""
    rows = []
    for network in ("fashion-cnn", "fashion-mobile"):
        rows.append(network)
        rows += [f"{network}, {c}: {r}" for c in (*WEIGHTS, *FEATURE_MAPS) for r in REMEDIES[c]]
    return rows


def parts(job: str) -> tuple[str, str, str]:
    """Network, change and remedy of a row; empty for the float network itself."""
    network, _, rest = job.partition(", ")
    change, _, remedy = rest.partition(": ")
    return network, change, remedy


def table(runs: comparison.Runs) -> list[dict[str, str]]:
    """One line a row: mean and spread of the accuracy over the seeds, mean error."""
    lines = []
    for job in jobs():
        found = comparison.rows(runs, job)
        if found:
            network, change, remedy = parts(job)
            lines.append(
                {
                    "network": network,
                    "change": change or "none",
                    "remedy": remedy or "nothing",
                    "test accuracy": comparison.spread(found),
                    "squared error": f"{comparison.mean(found, 'error'):.2f} %",
                    "seeds": str(len(found)),
                }
            )
    return lines


if __name__ == "__main__":
    comparison.main(NAME, jobs(), scores, table)
