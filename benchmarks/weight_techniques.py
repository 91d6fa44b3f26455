"""What each weight technique buys on Fashion-MNIST, beside what is simpler and ends with the same zeros and bits.

    python benchmarks/weight_techniques.py [--images=15000] [--rate=3e-4] [--seeds=1,2,3] [--only=<regular expression>]

Four kinds of rows, all from the same float networks, with the same six epochs (see ``fashion.py``):

    the technique         as its name says
    <technique>: after    its mechanism off in training: the six epochs without it, then applied once, nothing behind it
    <technique>: one-shot magnitude pruning to the zeros that the technique reached in each layer, at once, then six
                          epochs; for those that prune
    <technique>: rounded  LSQ to the bits that the technique reached in each layer; for those that learn widths. What
                          rounds to given bits stands beside the rows of LSQ
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras

import tfcompress as tfc

NAME = "weight_techniques"
Rules = Mapping[str, Any]
LAYERWISE = {90: {"conv1": 0.75, "conv2": 0.75, "fc0": 0.924}, 95: {"conv1": 0.85, "conv2": 0.85, "fc0": 0.968}}
"""Zeros by layer that make 90 and 95 % of all weights; the small first and last layer stay dense."""


def kernels(transform: tfc.Transform) -> Rules:
    """The same transform on all kernels."""
    return {".*": {"kernel": transform}}


def magnitude(percent: int, steps: int) -> Rules:
    """Gradual magnitude pruning, layer-wise, over the first two thirds of the steps."""
    return {
        layer: {"kernel": tfc.MagnitudePruning(tfc.PolynomialDecay(0, zeros, 0, 2 * steps // 3, frequency=10))}
        for layer, zeros in LAYERWISE[percent].items()
    }


def ternary(steps: int) -> Rules:
    """-a, 0 and a, with 70 % zeros reached in the first third of the steps; 8 bits in the first and last layer."""
    tied = tfc.LookUpTable(values="ternary", sparsity=tfc.PolynomialDecay(0, 0.7, 0, steps // 3))
    return {"conv[12]|fc0": {"kernel": tied}, "conv0|fc1": {"kernel": tfc.LSQ(8)}}


def balanced(steps: int) -> Rules:
    """The same number of zeros in each output channel, but for the first and the last layer."""
    return {layer: {"kernel": tfc.BalancedPruning(zeros, 2 * steps // 3)} for layer, zeros in LAYERWISE[90].items()}


def shrinking(steps: int) -> Rules:
    """Random steps towards zero, falling with Adam's, up to the fourth fifth; smaller where weights are larger."""
    when = {"begin_step": steps // 10, "end_step": 4 * steps // 5}
    rates = {"conv[12]": 2e-3, "fc0": 8e-3}
    cosine = keras.optimizers.schedules.CosineDecay
    return {
        layers: {"kernel": tfc.SignedPerturbation(cosine(rate, max(steps, 1)), **when)}
        for layers, rate in rates.items()
    }


def thresholds(steps: int) -> Rules:
    """Learned, and frozen for the last fifth."""
    return kernels(tfc.LearnedThreshold(freeze_step=4 * steps // 5))


def edges(steps: int) -> Rules:
    """Soft for three fifths of the steps, then sharper and sharper, and frozen for the last fifth."""
    sharpening = tfc.schedules.Ramp(3 * steps // 5, 4 * steps // 5)
    return kernels(tfc.AnalyticThreshold(5e-6, sharpening, 4 * steps // 5, speed=30.0))


def softly(bits: int, steps: int) -> Rules:
    """Slopes that become steeper over four fifths of the steps; the last fifth rounds."""
    cold = 4 * steps // 5
    return kernels(tfc.SoftRound(bits, tfc.schedules.Ramp(0, cold, 0.05, 0.5, geometric=True), cold))


def noisily(bits: int, steps: int) -> Rules:
    """Drawn from the grid for four fifths of the steps; the last fifth rounds."""
    return kernels(tfc.RelaxedQuantizer(bits, hard_step=4 * steps // 5))


def joint(steps: int) -> Rules:
    """Zeros and widths by one loss, chosen after two thirds of the steps."""
    return kernels(tfc.JointPruneQuantize(snap_step=2 * steps // 3))


TECHNIQUES: dict[str, Callable[[int], Rules]] = {
    "MagnitudePruning 90 %": lambda steps: magnitude(90, steps),
    "MagnitudePruning 95 %": lambda steps: magnitude(95, steps),
    "LearnedThreshold": thresholds,
    "AnalyticThreshold": edges,
    "BalancedPruning 90 %": balanced,
    "SignedPerturbation": shrinking,
    "LSQ 4 bits": lambda steps: kernels(tfc.LSQ(4)),
    "LSQ 2 bits": lambda steps: kernels(tfc.LSQ(2)),
    "RelaxedQuantizer 4 bits": lambda steps: noisily(4, steps),
    "RelaxedQuantizer 2 bits": lambda steps: noisily(2, steps),
    "SoftRound 4 bits": lambda steps: softly(4, steps),
    "SoftRound 2 bits": lambda steps: softly(2, steps),
    "LookUpTable 16": lambda steps: kernels(tfc.LookUpTable(16)),
    "LookUpTable 4": lambda steps: kernels(tfc.LookUpTable(4)),
    "LookUpTable 16, powers of two": lambda steps: kernels(tfc.LookUpTable(16, values="power_of_two")),
    "LookUpTable ternary, 70 % zeros": ternary,
    "JointPruneQuantize": joint,
}

PRUNES = ("MagnitudePruning", "LearnedThreshold", "AnalyticThreshold", "Balanced", "Signed", "Joint")
LEARN_WIDTHS = ("Joint",)
CONTROL = "float, six more epochs"


def one_shot(reached: Mapping[str, float]) -> Rules:
    """Magnitude pruning to given zeros by layer, before the first step."""
    return {
        layer: {"kernel": tfc.MagnitudePruning(tfc.ConstantSparsity(zeros, end_step=0))}
        for layer, zeros in reached.items()
        if zeros > 0
    }


def trained(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any], rate: float) -> keras.Model:
    """The model of a row; ``done`` holds the scores of earlier rows of this seed."""
    name, _, control = job.partition(": ")
    steps = fashion.steps(len(of[0]))
    if job == CONTROL:
        return fashion.control(of, seed, rate)
    if control == "after":
        model = tfc.compress(fashion.control(of, seed, rate), TECHNIQUES[name](0))
        tfc.calibrate(model, of[0][:512])
        return model
    if control == "one-shot":
        rules = one_shot(done[name]["zeros_by_layer"])
    elif control == "rounded":
        rules = {layer: {"kernel": tfc.LSQ(bits)} for layer, bits in done[name]["bits_by_layer"].items()}
    else:
        rules = TECHNIQUES[name](steps)
    return fashion.fine_tuned(fashion.compressed(of, seed, rules), of, seed, rate=rate)


def jobs() -> list[str]:
    """All rows, each technique before its controls."""
    rows = [CONTROL]
    for technique in TECHNIQUES:
        prunes = technique.startswith(PRUNES)
        rows.append(technique)
        rows += [f"{technique}: one-shot"] if prunes else []
        rows += [f"{technique}: rounded"] if technique.startswith(LEARN_WIDTHS) else []
        rows += [f"{technique}: after"] if not prunes else []
    return rows


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any], rate: float) -> comparison.Row:
    """Trains and scores one row."""
    return fashion.scores(trained(job, of, seed, done, rate), of)


def widest(found: list[comparison.Row]) -> str:
    """Bits of the widest kernel."""
    return f"{'/'.join(map(str, sorted({max(one['bits_by_layer'].values()) for one in found})))} bits"


def technique(job: str) -> str | None:
    """Whose control a row is."""
    name, _, control = job.partition(": ")
    return name if control else None


COLUMNS = {
    "zeros": comparison.averaged("zeros", "{:.1f} %"),
    "widest weight": widest,
    "kernels, entropy-coded": comparison.averaged("entropy", "{:,.0f} B"),
}

if __name__ == "__main__":
    comparison.main(NAME, jobs(), run, comparison.table(jobs(), COLUMNS, technique), rate=fashion.RATE)
