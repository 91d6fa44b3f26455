"""How widely the weights of each gate are spread, over one recurrent cell or over many."""

import re

import keras
import numpy as np

from tfcompress.structure import slots
from tfcompress.structure.gates import gate_columns, gate_names
from tfcompress.structure.groups import core
from tfcompress.structure.trace import trace


def gate_deviations(model: keras.Model, layers: str = ".*", slot: str = "kernel") -> dict[str, float]:
    """The population standard deviation of each gate over all weights that it has in the layers together.

    It is what ``GatePruning(deviations=...)`` takes to prune all these weights by one threshold for each gate: those of
    one layer, kernel and recurrent kernel, or of the same gate in several cells.

    Args:
        model: A built Sequential or Functional model, compressed or plain; latent weights count.
        layers: Regular expression on the names of layers, as a whole.
        slot: The weights, as in a rule of ``compress``: ``"kernel"`` means both kernels of every cell.

    Returns:
        Gate -> deviation, e.g. ``{"i": 0.11, "f": 0.13, "c": 0.2, "o": 0.12}``.

    Raises:
        ValueError: No such layer has gates, or LSTMs and GRUs are among them, whose gates have nothing in common.
    """
    parts: dict[str, list[np.ndarray]] = {}
    kinds: set[str] = set()
    for layer in {id(call.layer): core(call.layer) for call in trace(model).calls}.values():
        if not isinstance(layer, keras.layers.Layer) or not re.fullmatch(layers, layer.name):
            continue
        for path in slots.matching(layer, slot):
            gates, weight = gate_names(slots.owner(layer, path)), slots.weight(layer, path)
            if gates is not None and len(weight.shape) > 1:
                kinds.add(gates)
                for gate, columns in gate_columns(weight.shape[-1], gates).items():
                    parts.setdefault(gate, []).append(slots.numpy(weight)[..., columns].ravel())
    if len(kinds) != 1:
        raise ValueError(
            f"`layers` must match LSTMs or GRUs, and not both. Received: layers={layers!r}, which matches "
            f"{'both' if kinds else 'neither'} among {[call.path for call in trace(model).calls]}"
        )
    return {gate: float(np.std(np.concatenate(found))) for gate, found in parts.items()}
