"""What the callbacks of this folder share: the optimizer's step, and how to reach transforms while ``fit`` runs."""

from typing import Any

import keras
from keras import ops

from tfcompress.compressed import Compressed


def layers_of(model: keras.Model, kind: type | tuple[type, ...]) -> list[Any]:
    """All layers of a kind in the model, nested ones and members of Chains too, each once."""
    found = {id(layer): layer for layer in model._flatten_layers() if isinstance(layer, kind)}
    return list(found.values())


def compressed_layers(model: keras.Model) -> list[Compressed]:
    """All layers with transforms on weights.

    Raises:
        ValueError: There are none.
    """
    found = layers_of(model, Compressed)
    if not found:
        raise ValueError(f"Model '{model.name}' must have transforms on weights. Use tfcompress.compress.")
    return found


def path(model: keras.Model, layer: Compressed, slot: str) -> str:
    """Unlike names, paths are unique in nested models; a Sequential model puts its own name in front of them."""
    return f"{layer.path.removeprefix(f'{model.name}/')}/{slot}"


class Stepwise(keras.callbacks.Callback):
    """Knows the step of the optimizer, and how to touch variables while ``fit`` runs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers the optimizer's step."""
        self._first = int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def open_variables(self) -> None:
        """On JAX, ``fit`` keeps the variables to itself until asked."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
