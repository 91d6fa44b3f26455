"""What balanced zeros buy on an array that skips them, and on a dense one, from trained models on Fashion-MNIST.

    python benchmarks/npu_balance.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

Models with 75 % zeros in the second and third convolution and in the first dense layer, with the same six epochs from
a float network (see ``fashion.py``):

    balanced, 4 of 16     ``BalancedPruning(group=16)``: as many zeros in every 16 neighbouring weights
    balanced by filter    ``BalancedPruning``: as many zeros in every filter
    random                a mask drawn before the first step
    by magnitude          ``MagnitudePruning``, one threshold a layer
    by magnitude, 12:16   ``MagnitudePruning(sparsity_m_by_n=(12, 16))``, the simple way to balance
    by folded magnitude   one threshold a layer before the first step, on kernels with batch norm folded in
    slimmed, by folded magnitude   the same, but the float network was trained with a price on batch norm's scales,
                          0.01 or 0.05 times ``sum |gamma|``, which makes some filters small (network slimming, Z. Liu
                          et al., ICCV 2017, https://arxiv.org/abs/1708.06519, who remove filters with it)
    slimmed, dense too    as slimmed 0.05, and in the first dense layer, which has no batch norm, with a price on the
                          norms of filters, 0.002 times ``sum |w|_2`` (group lasso, W. Wen et al., NIPS 2016,
                          https://arxiv.org/abs/1608.03665)

and the dense one. ``channel-skewed`` are those by folded magnitude: some filters keep most of their weights, others
almost none. Cycles are those of the whole network on ``balanced-16x16``; speed-ups are of the three pruned layers
against the same layers of the dense model: on the array alone, and waiting for memory included. Beside them what a
compiler or a queue gets back from unbalanced zeros, and a Vela-class dot engine, whose array does not know zeros.

``npu_balance_loads`` is the work of the 16 columns, layer by layer: what they have to do on average, what the busiest
of each fold has, and how much longer all take that wait for each other every 16 taps.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np
import record
from keras import ops

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.npu import Machine, load

NAME = "npu_balance"
LAYERS, SPARSITY = ("conv1", "conv2", "fc0"), 0.75
PRUNED = slice(1, 4)
"""Where these layers are among those with products."""

BALANCED = "balanced, 4 of 16"


@keras.saving.register_keras_serializable("tfcompress_benchmarks")
class FixedMask(tfc.Transform):
    """Weights that are zero from the first step on; ``mask`` is assigned from outside."""

    def build(self, input_shape: Any) -> None:
        """Creates the mask, all ones."""
        self.mask = self.add_weight(shape=input_shape, initializer="ones", trainable=False, name="mask")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The weights that the mask leaves."""
        return x * ops.cast(ops.convert_to_tensor(self.mask), x.dtype)


def random_scores(layer: str, network: keras.Model) -> np.ndarray:
    """Which weights stay is drawn."""
    return np.random.default_rng(LAYERS.index(layer)).random(network.get_layer(layer).kernel.shape)


def folded_scores(layer: str, network: keras.Model) -> np.ndarray:
    """Magnitudes as they are once batch norm is folded into the kernel, which gives filters unequal scales."""
    kernel = network.get_layer(layer).kernel.numpy()
    if not layer.startswith("conv"):
        return np.abs(kernel)
    norm = network.get_layer(layer.replace("conv", "norm"))
    return np.abs(kernel * norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon))


class FilterNorms(keras.regularizers.Regularizer):
    """A price on the norm of each filter."""

    def __init__(self, price: float) -> None:
        self.price = price

    def __call__(self, x: Any) -> Any:
        """The sum over the filters."""
        return self.price * ops.sum(ops.sqrt(ops.sum(ops.square(x), axis=tuple(range(len(x.shape) - 1))) + 1e-12))


def slimmed(price: float, of: fashion.Data, seed: int, dense_price: float = 0.0) -> keras.Model:
    """The float network, trained as always but with a price on the scales of batch norm; kept like the other."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(seed)
        network = fashion.network()
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.regularizer = keras.regularizers.L1(price)
        if dense_price:
            network.get_layer("fc0").kernel.regularizer = FilterNorms(dense_price)
        return fashion.fit(network, of, seed, 1e-3, fashion.FLOAT_EPOCHS)

    name = f"slimmed-{price}-{dense_price}" if dense_price else f"slimmed-{price}"
    return fashion.kept(f"{name}-{len(of[0])}-{seed}", make)


MASKED: dict[str, tuple[Callable[..., keras.Model], Callable[..., np.ndarray]]] = {
    "random": (fashion.float_network, random_scores),
    "by folded magnitude": (fashion.float_network, folded_scores),
    "slimmed 0.01, by folded magnitude": (functools.partial(slimmed, 0.01), folded_scores),
    "slimmed 0.05, by folded magnitude": (functools.partial(slimmed, 0.05), folded_scores),
    "slimmed, dense too, by folded magnitude": (functools.partial(slimmed, 0.05, dense_price=0.002), folded_scores),
}
"""Float network, and scores of which the largest quarter of each layer stays."""


def masked(job: str, of: fashion.Data, seed: int) -> keras.Model:
    """A float network with masks of the largest scores of each layer."""
    start, scores_of = MASKED[job]
    network = start(of, seed)
    small = tfc.compress(network, {layer: {"kernel": FixedMask()} for layer in LAYERS})
    for layer in LAYERS:
        scores = scores_of(layer, network)
        small.get_layer(layer).transforms["kernel"].mask.assign(scores >= np.quantile(scores, SPARSITY))
    return small


def rules(job: str, steps: int) -> Mapping[str, Any]:
    """What a row does to the kernels."""
    ramp = tfc.PolynomialDecay(0, SPARSITY, 0, 2 * steps // 3, frequency=10)
    made = {
        BALANCED: tfc.BalancedPruning(SPARSITY, 2 * steps // 3, group=16),
        "balanced by filter": tfc.BalancedPruning(SPARSITY, 2 * steps // 3),
        "by magnitude": tfc.MagnitudePruning(ramp),
        "by magnitude, 12:16": tfc.MagnitudePruning(ramp, sparsity_m_by_n=(12, 16)),
    }
    return {layer: {"kernel": made[job]} for layer in LAYERS}


JOBS = ("dense", *MASKED, "by magnitude", "by magnitude, 12:16", "balanced by filter", BALANCED)


def machines() -> dict[str, Machine]:
    """The zero-skipping array, what mends imbalance without training, and a dense engine of as many multipliers."""
    skipping = load("balanced-16x16")
    array: Any = skipping.array
    return {
        "barrier": skipping,
        "sorted filters": replace(skipping, array=replace(array, reorder=True)),
        "queue of 8": replace(skipping, array=replace(array, queue_depth=8)),
        "dense engine": load("ethos-u55-256-like"),
    }


def trained(job: str, of: fashion.Data, seed: int) -> keras.Model:
    """The model of a row."""
    if job == "dense":
        return fashion.control(of, seed)
    if job in MASKED:
        return fashion.fine_tuned(masked(job, of, seed), of, seed)
    return fashion.fine_tuned(fashion.compressed(of, seed, rules(job, fashion.steps(len(of[0])))), of, seed)


def costs(blob: bytes) -> dict[str, dict[str, int]]:
    """Cycles on each machine: of the network, of the pruned layers, and of these without waiting for memory."""
    found = {}
    for name, machine in machines().items():
        estimate = tfe.npu.estimate(blob, machine)
        rows = [row for row in estimate.rows if row["macs"]][PRUNED]
        total, stall = (sum(row[key] for row in rows) for key in ("cycles_total", "cycles_memory_stall"))
        found[name] = {"network": estimate.totals["cycles_total"], "layers": total, "array": total - stall}
    return found


def loads(blob: bytes) -> dict[str, dict[str, float]]:
    """Cycles of the columns, summed over the folds of filters, by layer: mean and busiest; and what all take."""
    estimate = tfe.npu.estimate(blob, machines()["barrier"])
    found = {}
    for layer, row in zip(LAYERS, [row for row in estimate.rows if row["macs"]][PRUNED], strict=True):
        load = estimate.loads.get(row["layer"])
        if load is not None:
            mean, most = float(load.mean(-1).sum()), float(load.max(-1).sum())
            worked = row["cycles_total"] - row["cycles_memory_stall"]
            taken = mean * worked / (worked - row["cycles_imbalance"])
            found[layer] = {"mean": round(mean, 1), "max": most, "taken": round(taken, 1)}
    return found


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and measures one row."""
    model = trained(job, of, seed)
    blob = tfe.convert(model, of[0][:500], inference_output_type="float32")
    scores = fashion.scores(model, of)
    kept = {key: scores[key] for key in ("accuracy", "zeros", "zeros_by_layer")}
    return kept | {"cycles": costs(blob), "loads": loads(blob)}


def table(runs: comparison.Runs) -> list[dict[str, str]]:
    """One line a row: means over the seeds."""
    lines = []
    for job in JOBS:
        found = comparison.rows(runs, job)
        if found:
            line = {"zeros": job, "test accuracy": comparison.spread(found)}
            line["cycles"] = f"{np.mean([one['cycles']['barrier']['network'] for one in found]):,.0f}"
            line["with memory"] = faster(runs, job, "dense", "barrier", "layers")
            line |= {name: faster(runs, job, "dense", name, "array") for name in machines()}
            line["dense engine, with memory"] = faster(runs, job, "dense", "dense engine", "layers")
            line["balanced is"] = faster(runs, BALANCED, job, "barrier", "array")
            lines.append(line | {"seeds": str(len(found))})
    return lines


def faster(runs: comparison.Runs, job: str, other: str, machine: str, part: str) -> str:
    """How many times faster one row is than another."""
    pairs = [(done[job], done[other]) for done in runs.values() if job in done and other in done]
    ratios = [two["cycles"][machine][part] / one["cycles"][machine][part] for one, two in pairs]
    return f"{np.mean(ratios):.2f}x" if ratios else "-"


def loads_table(runs: comparison.Runs) -> list[dict[str, str]]:
    """One line a row and layer: means over the seeds."""
    lines = []
    for job in JOBS:
        for layer in LAYERS:
            found = [one["loads"][layer] for one in comparison.rows(runs, job) if layer in one["loads"]]
            if found:
                mean, most, taken = (np.mean([one[key] for one in found]) for key in ("mean", "max", "taken"))
                line = {"zeros": job, "layer": layer, "mean load": f"{mean:,.0f}", "max load": f"{most:,.0f}"}
                lines.append(line | {"max / mean": f"{most / mean:.2f}", "taken / mean": f"{taken / mean:.2f}"})
    return lines


def write_loads() -> None:
    """The work of the columns, from the finished runs."""
    result = json.loads((record.RESULTS / f"{NAME}.json").read_text("utf-8"))
    record.write(f"{NAME}_loads", result["settings"], loads_table(result["runs"]))
    record.show(loads_table(result["runs"]))


if __name__ == "__main__":
    comparison.main(NAME, JOBS, run, table)
    write_loads()
