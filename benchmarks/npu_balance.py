"""What balanced zeros buy on an array that skips them, and on a dense one, from trained models on Fashion-MNIST.

    python benchmarks/npu_balance.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

Models with 75 % zeros in the second and third convolution and in the first dense layer, from the same float
networks, with the same six epochs (see ``fashion.py``):

    balanced, 4 of 16     ``BalancedPruning(group=16)``: as many zeros in every 16 neighbouring weights
    balanced by filter    ``BalancedPruning``: as many zeros in every filter
    random                a mask drawn before the first step
    by folded magnitude   one threshold a layer before the first step, on kernels with batch norm folded in
    by magnitude          ``MagnitudePruning``, one threshold a layer
    by magnitude, 12:16   ``MagnitudePruning(sparsity_m_by_n=(12, 16))``, the simple way to balance

and the dense one. Cycles are those of the whole network on ``balanced-16x16``; speed-ups are of the three pruned layers
against the same layers of the dense model: on the array alone, and waiting for memory included. Beside them what a
compiler or a queue gets back from unbalanced zeros, and a Vela-class dot engine, whose array does not know zeros.

Each finished run is kept in ``results/npu_balance.json``, and not made again.
"""

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fashion
import keras
import numpy as np
import record
from keras import ops

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.files import write_atomically
from tflite_export.npu import Machine, load

NAME = "npu_balance"
PACKAGES = ("tensorflow", "keras", "numpy")
LAYERS, SPARSITY = ("conv1", "conv2", "fc0"), 0.75
PRUNED = slice(1, 4)
"""Where these layers are among those with products."""


@keras.saving.register_keras_serializable("tfcompress_benchmarks")
class FixedMask(tfc.Transform):
    """Weights that are zero from the first step on; ``mask`` is assigned from outside."""

    def build(self, input_shape: Any) -> None:
        """Creates the mask, all ones."""
        self.mask = self.add_weight(shape=input_shape, initializer="ones", trainable=False, name="mask")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The weights that the mask leaves."""
        return x * ops.cast(ops.convert_to_tensor(self.mask), x.dtype)


def random_scores(layer: str, kernel: np.ndarray, network: keras.Model) -> np.ndarray:
    """Which weights stay is drawn."""
    return np.random.default_rng(LAYERS.index(layer)).random(kernel.shape)


def folded_scores(layer: str, kernel: np.ndarray, network: keras.Model) -> np.ndarray:
    """Magnitudes as they are once batch norm is folded into the kernel, which gives filters unequal scales."""
    if not layer.startswith("conv"):
        return np.abs(kernel)
    norm = network.get_layer(layer.replace("conv", "norm"))
    return np.abs(kernel * norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon))


MASKED = {"random": random_scores, "by folded magnitude": folded_scores}


def masked(job: str, of: fashion.Data, seed: int) -> keras.Model:
    """The float network with masks of the largest scores of each layer."""
    network = fashion.float_network(of, seed)
    small = fashion.compressed(of, seed, {layer: {"kernel": FixedMask()} for layer in LAYERS})
    for layer in LAYERS:
        scores = MASKED[job](layer, network.get_layer(layer).kernel.numpy(), network)
        small.get_layer(layer).transforms["kernel"].mask.assign(scores >= np.quantile(scores, SPARSITY))
    return small


def rules(job: str, steps: int) -> Mapping[str, Any]:
    """What a row does to the kernels."""
    ramp = tfc.PolynomialDecay(0, SPARSITY, 0, 2 * steps // 3, frequency=10)
    made = {
        "balanced, 4 of 16": tfc.BalancedPruning(SPARSITY, 2 * steps // 3, group=16),
        "balanced by filter": tfc.BalancedPruning(SPARSITY, 2 * steps // 3),
        "by magnitude": tfc.MagnitudePruning(ramp),
        "by magnitude, 12:16": tfc.MagnitudePruning(ramp, sparsity_m_by_n=(12, 16)),
    }
    return {layer: {"kernel": made[job]} for layer in LAYERS}


JOBS = ("dense", *MASKED, "by magnitude", "by magnitude, 12:16", "balanced by filter", "balanced, 4 of 16")


def machines() -> dict[str, Machine]:
    """The zero-skipping array, what mends imbalance without training, and a dense engine of as many multipliers."""
    skipping = load("balanced-16x16")
    return {
        "barrier": skipping,
        "sorted filters": replace(skipping, array=replace(skipping.array, reorder=True)),
        "queue of 8": replace(skipping, array=replace(skipping.array, queue_depth=8)),
        "dense engine": load("ethos-u55-256-like"),
    }


def trained(job: str, of: fashion.Data, seed: int) -> keras.Model:
    """The model of a row."""
    if job == "dense":
        return fashion.fine_tuned(fashion.float_network(of, seed), of, seed)
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


def measured(job: str, of: fashion.Data, seed: int) -> dict[str, Any]:
    """One finished run."""
    model = trained(job, of, seed)
    blob = tfe.convert(model, of[0][:500], inference_output_type="float32")
    scores = fashion.scores(model, of)
    return {key: scores[key] for key in ("accuracy", "zeros", "zeros_by_layer")} | {"cycles": costs(blob)}


def table(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One line a row: means over the seeds."""
    lines = []
    for job in JOBS:
        pairs = [(run[job], run["dense"]) for run in runs.values() if job in run and "dense" in run]
        if pairs:
            line = {"zeros": job, "test accuracy": f"{np.mean([one['accuracy'] for one, _ in pairs]):.2f} %"}
            line["cycles"] = f"{np.mean([one['cycles']['barrier']['network'] for one, _ in pairs]):,.0f}"
            line["with memory"] = speedup(pairs, "barrier", "layers")
            lines.append(line | {name: speedup(pairs, name, "array") for name in machines()})
    return lines


def speedup(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], machine: str, part: str) -> str:
    """How many times faster than the dense model."""
    return f"{np.mean([dense['cycles'][machine][part] / one['cycles'][machine][part] for one, dense in pairs]):.2f}x"


def main() -> None:
    """Runs what is missing, keeps each finished run, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=15_000, help="training images")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", default=".*", help="regular expression on the name of the row")
    options = parser.parse_args()
    name = NAME if options.images == 15_000 else f"{NAME}_{options.images}"
    file = record.RESULTS / f"{name}.json"
    runs = json.loads(file.read_text("utf-8"))["runs"] if file.exists() else {}
    of = fashion.data(options.images)
    for seed in map(int, options.seeds.split(",")):
        done = runs.setdefault(str(seed), {})
        for job in JOBS:
            if job not in done and re.fullmatch(options.only, job):
                keras.backend.clear_session()
                done[job] = measured(job, of, seed)
                print(f"seed {seed}  {job}: {done[job]['accuracy']} %, {done[job]['zeros']} % zeros", flush=True)
                settings = record.settings(PACKAGES, images=options.images, epochs=fashion.EPOCHS, seeds=options.seeds)
                content = {"settings": settings, "table": table(runs), "runs": runs}
                write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())
    record.show(table(runs))


if __name__ == "__main__":
    main()
