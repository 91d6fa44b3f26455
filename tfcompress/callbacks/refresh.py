"""Masks, codebooks and ranges brought up to date now and then."""

from collections.abc import Iterator
from typing import Any

import keras

from tfcompress.callbacks.stepwise import Stepwise, compressed_layers
from tfcompress.structure import slots
from tfcompress.transform import Transform


class Refresh(Stepwise):
    """Calls ``update`` of all transforms on weights now and then, with the weight's current value.

    Args:
        every: Number of epochs, or of batches, between two updates.
        unit: ``"epochs"`` (default) or ``"batches"``.

    Raises:
        ValueError: ``every`` is below 1, ``unit`` is something else, or (when training begins) the model has no
            transforms on weights.
    """

    def __init__(self, every: int = 1, unit: str = "epochs") -> None:
        super().__init__()
        if every < 1 or unit not in ("epochs", "batches"):
            raise ValueError(
                f"`every` must be at least 1 and `unit` 'epochs' or 'batches'. Received: every={every}, unit={unit!r}"
            )
        self.every, self.unit = every, unit

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds the compressed layers."""
        self.layers = compressed_layers(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts counting at the optimizer's step."""
        super().on_epoch_begin(epoch, logs)
        self._done = self._first // self.every

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Updates if the batches since the last update are enough."""
        due = (self._first + batch + 1) // self.every
        if self.unit == "batches" and due > self._done:
            self._done = due
            self._update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Updates if the epochs are enough."""
        if self.unit == "epochs" and (epoch + 1) % self.every == 0:
            self._update()

    def _update(self) -> None:
        self.open_variables()
        for transform, weight in self._pairs():
            transform.update(slots.tensor(weight))

    def _pairs(self) -> Iterator[tuple[Transform, keras.Variable]]:
        for layer in self.layers:
            for slot, transform in layer.transforms.items():
                yield transform, slots.weight(layer.layer, slot)
