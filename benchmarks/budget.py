"""Bit operations of Fashion-MNIST: budgets that training spends, beside the same widths everywhere.

    python benchmarks/budget.py [--network=fashion-cnn] [--epochs=6] [--images=15000] [--seeds=1,2,3] [--only=<pattern>]

Budgets are shares of the bit operations of the float network, 32 x 32 bits a multiplication; pixels have 8 bits. All
rows start from the same float networks and have the same six epochs (see ``fashion.py``, which also has ``resnet-20``):

    DifferentiableBits         widths of kernels and maps, and gates for channels, learned by ``Budget``
    BayesianBits               2, 4 or 8 bits by gates, otherwise the same
    bits only                  DifferentiableBits without gates for channels
    uniform                    LSQ of one width for all kernels and one for all maps: of all pairs within the budget the
                               one whose smaller width is largest, of equal ones the one that costs most
    uniform, dearest           the pair that costs most, of equal ones the more even one
    prune, then quantise       half of the epochs for weights behind ``remove_channels``, with the share of channels in
                               each layer by kernel norms that uniform 4 x 4 leaves affordable; then LSQ
    prune, then learn widths   the same channels; then DifferentiableBits from 5 bits, and ``Budget``
"""

import bisect
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import channels
import comparison
import fashion
import keras
import numpy as np

import tfcompress as tfc

NAME = "budget"
SHARES = (0.01, 0.005, 0.0025)
FIRST, HEAD = "conv0", "fc1"
"""Of all networks: the layer that reads pixels, the one whose channels are the classes."""

GATED = {"fashion-cnn": "conv.*", "resnet-20": ".*"}
"""Behind which layers there are gates."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a row is given."""

    network: str
    of: fashion.Data
    seed: int
    share: float
    epochs: int

    @functools.cached_property
    def limit(self) -> float:
        """The budget, in bit operations of one input."""
        return self.share * tfc.costs.bops(fashion.NETWORKS[self.network]())

    @property
    def model(self) -> keras.Model:
        """The float network, trained."""
        return fashion.float_network(self.of, self.seed, self.network)

    def compressed(self, rules: Any) -> keras.Model:
        """It with transforms, calibrated."""
        return fashion.compressed(self.of, self.seed, rules, self.network)

    def fine_tuned(self, model: keras.Model, callbacks: Sequence[keras.callbacks.Callback] = ()) -> keras.Model:
        """Trained for all of the epochs."""
        return fashion.fine_tuned(model, self.of, self.seed, callbacks, epochs=self.epochs)


def learned(task: Task, transform: tfc.Transform, gates: bool = True) -> keras.Model:
    """Widths, and channels if there are gates, within the budget."""
    small = task.compressed({".*": {"kernel": transform, "output": transform}})
    if gates:
        layers = GATED[task.network]
        small = tfc.edits.insert_bottlenecks(small, seed=task.seed, kl=0.0, speed=200.0, layers=layers)
    task.fine_tuned(small, [tfc.callbacks.Budget(task.limit)])
    return tfc.edits.remove_channels(small) if gates else small


def spent(model: keras.Model) -> Callable[[int, int], float]:
    """``spent(model)(kernel, feature)``: bit operations at one width of kernels and one of maps; pixels have 8 bits."""
    rows = tfc.costs.Facts(model).rows({}, np.zeros(10**5, bool))
    pixels = sum(row.macs for row in rows if row.path.split("/")[0] == FIRST)
    maps = sum(row.macs for row in rows) - pixels
    return lambda kernel, feature: kernel * (8 * pixels + feature * maps)


def pair(task: Task, model: keras.Model, even: bool = True) -> tuple[int, int]:
    """Widths of kernels and of maps within the budget: the most even pair, or the dearest."""
    cost = spent(model)
    pairs = [p for p in itertools.product(range(2, 9), repeat=2) if cost(*p) <= task.limit]
    if not pairs:
        raise ValueError(f"No pair of widths is within {task.share:.2%}. Received: {model.name}. Prune channels first.")
    return max(pairs, key=lambda p: (min(p), cost(*p), p) if even else (cost(*p), -abs(p[0] - p[1]), p))


def rules(kernel: int, feature: int) -> dict[str, Any]:
    """LSQ everywhere; pixels keep 8 bits."""
    return {".*": {"kernel": tfc.LSQ(kernel), "output": tfc.LSQ(feature)}, "image": {"output": tfc.LSQ(8)}}


def uniform(task: Task, even: bool = True) -> keras.Model:
    """One width for kernels, one for maps."""
    widths = rules(*pair(task, task.model, even))
    return task.fine_tuned(task.compressed(widths))


def pruned(task: Task) -> keras.Model:
    """Without the channels of small kernels: the same share in every layer, by the budget at 4 bits."""
    model = task.model
    widths = channels.widths(model)

    def cut(kept: float) -> keras.Model:
        counts = {path: max(1, round(kept * width)) for path, width in widths.items()}
        return channels.cut(model, {**counts, HEAD: widths[HEAD]}, None)

    shares = np.arange(0.06, 1.01, 0.01)
    fits = bisect.bisect_right(shares, task.limit, key=lambda kept: spent(cut(kept))(4, 4))
    if not fits:
        raise ValueError(f"No share of channels is within {task.share:.2%}. Received: {model.name}.")
    return cut(shares[fits - 1])


def prune_then(task: Task, learn: bool = False) -> keras.Model:
    """Channels first, three epochs, then widths, the same everywhere or learned, three epochs."""
    small = pruned(task)
    half = task.epochs // 2
    fashion.fine_tuned(small, task.of, task.seed, epochs=half)
    transform = tfc.DifferentiableBits(bits=5)
    anywhere = {".*": {"kernel": transform, "output": transform}}
    widths = {**anywhere, "image": {"output": tfc.LSQ(8)}} if learn else rules(*pair(task, small))
    low = tfc.compress(small, widths)
    tfc.calibrate(low, task.of[0][:512])
    callbacks = [tfc.callbacks.Budget(task.limit)] if learn else []
    return fashion.fine_tuned(low, task.of, 100 + task.seed, callbacks, epochs=half)


ROWS: dict[str, Callable[[Task], keras.Model]] = {
    "DifferentiableBits": lambda task: learned(task, tfc.DifferentiableBits()),
    "DifferentiableBits, bits only": lambda task: learned(task, tfc.DifferentiableBits(), gates=False),
    "BayesianBits": lambda task: learned(task, tfc.BayesianBits(prune=False, seed=task.seed)),
    "uniform": uniform,
    "uniform, dearest": lambda task: uniform(task, even=False),
    "prune, then quantise": prune_then,
    "prune, then learn widths": lambda task: prune_then(task, learn=True),
}


TOO_WIDE = ("uniform", "uniform, dearest")
"""What the tightest budget leaves no pair for."""


def jobs() -> dict[str, tuple[str, float]]:
    """Name -> kind of row and share of the float network's bit operations."""
    pairs = [(kind, share) for share in SHARES for kind in ROWS if share > SHARES[-1] or kind not in TOO_WIDE]
    return {f"{kind}, {share:.2%}": (kind, share) for kind, share in pairs}


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any], network: str, epochs: int) -> comparison.Row:
    """Trains and scores one row."""
    kind, share = jobs()[job]
    task = Task(network, of, seed, share, epochs)
    model = ROWS[kind](task)
    facts = tfc.costs.Facts(model)
    cost = tfc.costs.bops(model)
    widths = [row.weight_bits for row in facts.rows(facts.widths(), facts.gone())]
    return {
        **fashion.scores(model, of),
        "bops": cost,
        "of_budget": round(cost / task.limit, 4),
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
    comparison.main(
        NAME, jobs(), run, comparison.table(jobs(), COLUMNS, technique), network=fashion.USUAL, epochs=fashion.EPOCHS
    )
