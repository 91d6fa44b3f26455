"""Learned thresholds that do not move any more."""

import warnings
from typing import Any

from keras import ops

from tfcompress.callbacks.stepwise import Stepwise, compressed_layers, path
from tfcompress.pruning.soft_pruning import SoftPruning
from tfcompress.structure import slots
from tfcompress.transform import Transform, members


class WarnStall(Stepwise):
    """Warns when a learned threshold cannot move any more although its layer has too few zeros.

    A threshold only hears the weights near it. Looks at the end of each epoch and warns once per layer.

    Args:
        target: The share of zeros that every layer should reach, 0 to 1. Above it, a threshold may stay where it is.
        least: Share of the weights that must be near the threshold. Default 0.001.

    Raises:
        ValueError: ``target`` is outside 0 to 1, or (when training begins) the model has no transforms on weights.
    """

    def __init__(self, target: float, least: float = 0.001) -> None:
        super().__init__()
        if not 0 <= target <= 1:
            raise ValueError(f"`target` must be from 0 to 1. Received: target={target}")
        self.target, self.least = target, least

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds the compressed layers."""
        self.layers = compressed_layers(self.model)
        self._warned: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at every learned threshold."""
        self.open_variables()
        for layer in self.layers:
            for slot, transform in layer.transforms.items():
                self._look(path(self.model, layer, slot), transform, slots.tensor(slots.weight(layer.layer, slot)))

    def _look(self, name: str, transform: Transform, x: Any) -> None:
        for member in members(transform):
            y = member(x, training=False)
            if isinstance(member, SoftPruning) and not member.frozen and name not in self._warned:
                zeros, near = float(ops.mean(ops.cast(y == 0, "float32"))), float(member.transition(x))
                if zeros < self.target and near < self.least:
                    self._warned.add(name)
                    warnings.warn(
                        f"The threshold of '{name}' has stalled at {zeros:.1%} zeros, below the target of "
                        f"{self.target:.1%}: {near:.2%} of the weights are near it. {member.REMEDY}",
                        stacklevel=2,
                    )
            x = y
