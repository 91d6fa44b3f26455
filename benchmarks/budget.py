"""Bit operations of Fashion-MNIST: budgets that training spends, beside the same widths everywhere.

    python benchmarks/budget.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

Budgets are shares of the bit operations of the float network, 32 x 32 bits a multiplication; pixels have 8 bits. All
rows start from the same float networks and have the same six epochs (see ``fashion.py``):

    DifferentiableBits    widths of kernels and maps, and gates for channels, learned by ``Budget``
    BayesianBits          2, 4 or 8 bits by gates, otherwise the same
    bits only             DifferentiableBits without gates for channels
    uniform               LSQ of one width for all kernels and one for all maps: of all pairs within the budget the one
                          whose smaller width is largest, of equal ones the one that costs most
    uniform, dearest      the pair that costs most, of equal ones the more even one
    prune, then quantise  half of the epochs for weights behind ``remove_channels``, with the share of channels in each
                          layer by kernel norms that uniform 4 x 4 (2 x 2 for the tightest) leaves affordable; then LSQ
"""

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np

import tfcompress as tfc

NAME = "budget"
SHARES = (0.01, 0.005, 0.0025)
PRUNED = ("conv0", "conv1", "conv2", "fc0")
GATES = {"kl": 0.0, "speed": 200.0, "layers": "conv.*"}


def limit(share: float) -> float:
    """The budget."""
    return share * tfc.costs.bops(fashion.network())


def learned(transform: tfc.Transform, of: fashion.Data, seed: int, share: float, gates: bool) -> keras.Model:
    """Widths, and channels if there are gates, within the budget."""
    small = fashion.compressed(of, seed, {".*": {"kernel": transform, "output": transform}})
    if gates:
        small = tfc.edits.insert_bottlenecks(small, seed=seed, **GATES)
    fashion.fine_tuned(small, of, seed, [tfc.callbacks.Budget(limit(share))])
    return tfc.edits.remove_channels(small) if gates else small


def pair(model: keras.Model, share: float, even: bool = True) -> tuple[int, int]:
    """Widths of kernels and of maps within the budget: the most even pair, or the dearest."""
    base = {row.path: row for row in tfc.costs.Facts(model).rows({}, np.zeros(10**5, bool))}
    found = []
    for kernel, feature in itertools.product(range(2, 9), repeat=2):
        cost = sum(row.macs * kernel * (8 if path.startswith("conv0") else feature) for path, row in base.items())
        if cost <= limit(share):
            order = (min(kernel, feature), cost) if even else (cost, -abs(kernel - feature))
            found.append((*order, kernel, feature))
    if not found:
        raise ValueError(f"No pair of widths is within {share:.2%}. Received: {model.name}. Prune channels first.")
    return max(found)[2:]


def rules(kernel: int, feature: int) -> dict[str, Any]:
    """LSQ everywhere; pixels keep 8 bits."""
    return {".*": {"kernel": tfc.LSQ(kernel), "output": tfc.LSQ(feature)}, "image": {"output": tfc.LSQ(8)}}


def uniform(of: fashion.Data, seed: int, share: float, even: bool = True) -> keras.Model:
    """One width for kernels, one for maps."""
    model = fashion.float_network(of, seed)
    return fashion.fine_tuned(fashion.compressed(of, seed, rules(*pair(model, share, even))), of, seed)


def pruned(model: keras.Model, share: float) -> keras.Model:
    """Without the channels of small kernels: the same share in every layer, by the budget at 4 or 2 bits."""
    bits = 4 if share > 0.003 else 2
    for kept in np.arange(1.0, 0.05, -0.01):
        keep = {}
        for name in PRUNED:
            kernel = keras.ops.convert_to_numpy(model.get_layer(name).kernel)
            norms = np.sqrt(np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1))))
            keep[name] = np.sort(np.argsort(-norms)[: max(1, round(kept * len(norms)))])
        small = tfc.edits.remove_channels(model, keep)
        if tfc.costs.macs(small) * bits * bits * 1.04 <= limit(share):  # pixels of 8 bits: four percent
            return small
    raise ValueError(f"No share of channels is within {share:.2%}.")


def prune_then_quantize(of: fashion.Data, seed: int, share: float) -> keras.Model:
    """Channels first, three epochs, then widths, three epochs."""
    small = pruned(fashion.float_network(of, seed), share)
    half = fashion.EPOCHS // 2
    rate = keras.optimizers.schedules.CosineDecay(3e-4, fashion.steps(len(of[0]), half))
    fashion.fit(small, of, 100 + seed, rate, half)
    low = tfc.compress(small, rules(*pair(small, share)))
    tfc.calibrate(low, of[0][:512])
    rate = keras.optimizers.schedules.CosineDecay(3e-4, fashion.steps(len(of[0]), half))
    return fashion.fit(low, of, 200 + seed, rate, half)


ROWS: dict[str, Callable[[fashion.Data, int, float], keras.Model]] = {
    "DifferentiableBits": lambda of, seed, share: learned(tfc.DifferentiableBits(), of, seed, share, gates=True),
    "DifferentiableBits, bits only": lambda of, seed, share: learned(tfc.DifferentiableBits(), of, seed, share, False),
    "BayesianBits": lambda of, seed, share: learned(tfc.BayesianBits(prune=False, seed=seed), of, seed, share, True),
    "uniform": uniform,
    "uniform, dearest": lambda of, seed, share: uniform(of, seed, share, even=False),
    "prune, then quantise": prune_then_quantize,
}


TOO_WIDE = ("uniform", "uniform, dearest")
"""What the tightest budget leaves no pair for."""


def jobs() -> dict[str, tuple[str, float]]:
    """Name -> kind of row and share of the float network's bit operations."""
    pairs = [(kind, share) for share in SHARES for kind in ROWS if share > SHARES[-1] or kind not in TOO_WIDE]
    return {f"{kind}, {share:.2%}": (kind, share) for kind, share in pairs}


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and scores one row."""
    kind, share = jobs()[job]
    model = ROWS[kind](of, seed, share)
    facts = tfc.costs.Facts(model)
    spent = tfc.costs.bops(model)
    widths = [row.weight_bits for row in facts.rows(facts.widths(), facts.gone())]
    return {
        **fashion.scores(model, of),
        "bops": spent,
        "of_budget": round(spent / limit(share), 4),
        "widths": [int(bits) for bits in widths],
        "map_widths": [int(row.input_bits) for row in facts.rows(facts.widths(), facts.gone())],
        "channels": {k.call.path: int(k.call.outputs[0].shape[-1]) for k in facts.kernels},
        "macs": tfc.costs.macs(model),
    }


def technique(job: str) -> str | None:
    """Whose control a row is."""
    kind, share = job.rsplit(", ", 1)
    return f"DifferentiableBits, {share}" if kind in (*TOO_WIDE, "prune, then quantise") else None


COLUMNS: dict[str, comparison.Column] = {
    "of the budget": comparison.averaged("of_budget", "{:.0f} %", 100),
    "MACs": comparison.averaged("macs", "{:.2f} M", 1e-6),
    "kernel bits": lambda found: "/".join(map(str, found[0]["widths"])),
    "input bits": lambda found: "/".join(map(str, found[0]["map_widths"])),
}

if __name__ == "__main__":
    comparison.main(NAME, jobs(), run, comparison.table(jobs(), COLUMNS, technique))
