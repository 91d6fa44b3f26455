"""The control of every technique that prunes: magnitude pruning to the very same share of zeros in every layer.

A technique that finds its own sparsity is to be compared with one-shot or gradual magnitude pruning that is given the
sparsity that the technique found, with as many steps of fine-tuning.
"""

from collections.abc import Mapping

import keras
import numpy as np

import tfcompress as tfc


def zeros(model: keras.Model, slot: str = "kernel") -> dict[str, float]:
    """Share of zeros of each compressed layer, in the weights as deployed."""
    layers = [layer for layer in model.layers if isinstance(layer, tfc.Compressed) and slot in layer.transforms]
    return {layer.name: float(np.mean(tfc.deployed(layer, slot)[0] == 0)) for layer in layers}


def total(model: keras.Model, slot: str = "kernel") -> float:
    """Share of zeros in all compressed layers together."""
    shares = zeros(model, slot)
    sizes = {name: tfc.deployed(model.get_layer(name), slot)[0].size for name in shares}
    return sum(shares[name] * sizes[name] for name in shares) / sum(sizes.values())


def magnitude_rules(
    shares: Mapping[str, float], steps: int, slot: str = "kernel"
) -> dict[str, dict[str, tfc.Transform]]:
    """Rules that prune each layer by magnitude to its share: at once if ``steps`` is 0, else rising over so many."""
    schedules = {
        name: tfc.PolynomialDecay(0.0, share, 0, steps, frequency=max(1, steps // 50))
        if steps
        else tfc.ConstantSparsity(share, end_step=0)
        for name, share in shares.items()
    }
    return {name: {slot: tfc.MagnitudePruning(schedule)} for name, schedule in schedules.items()}
