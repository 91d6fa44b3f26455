"""What changes over time but not in every step: annealed hyperparameters and refreshed masks, codebooks and ranges.

Keras calls callbacks once per execution, which is once in eight steps for ``steps_per_execution=8``; both callbacks
here count steps, not calls. Steps are those of the optimizer, so training that is resumed goes on where it stopped.
Hyperparameters are variables: setting one does not compile the training step again.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from tfcompress.compressed import Compressed
from tfcompress.structure import slots
from tfcompress.transform import Transform


def _members(model: keras.Model, kind: type) -> list[Any]:
    """All layers of a kind in the model, nested ones and members of Chains too, each once."""
    found = {id(layer): layer for layer in model._flatten_layers() if isinstance(layer, kind)}
    return list(found.values())


class _Stepwise(keras.callbacks.Callback):
    """Knows the step of the optimizer, and how to touch variables while ``fit`` runs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers the optimizer's step."""
        self._first = int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def _open_variables(self) -> None:
        """On JAX, ``fit`` keeps the variables to itself until asked."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()


class Anneal(_Stepwise):
    """Sets a hyperparameter of transforms as a function of the training step.

    Args:
        attribute: Name of a variable of the transforms, e.g. ``"temperature"``: what they made by
            ``add_weight(shape=(), trainable=False)``.
        schedule: Step -> value, e.g. ``tfcompress.PolynomialDecay`` or a function of a whole number.
        match: Regular expression on the names of the transforms, as a whole; in a compressed model these are the
            slot (``kernel``) and, for outputs, the layer (``conv1_output``). Default: all.
        every: Steps between two changes. A multiple of ``steps_per_execution`` makes results independent of that.

    Raises:
        ValueError: ``every`` is below 1, or (when training begins) no matching transform has such a variable.
    """

    def __init__(self, attribute: str, schedule: Callable[[int], Any], match: str = ".*", every: int = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: every={every}")
        self.attribute, self.schedule, self.match, self.every = attribute, schedule, match, every
        self._value: float | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds the variables."""
        named = [t for t in _members(self.model, Transform) if re.fullmatch(self.match, t.name)]
        values = [getattr(t, self.attribute, None) for t in named]
        self.variables = [v for v in values if isinstance(v, keras.Variable)]
        self._value = None
        if not self.variables:
            known = sorted({f"{type(t).__name__}.{v.name}" for t in named for v in t.variables})
            raise ValueError(
                f"`attribute` must be a variable of a transform whose name matches {self.match!r}. "
                f"Received: attribute={self.attribute!r}. Variables of the matching transforms: {known}"
            )

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the value of this step, if it changed."""
        step = self._first + batch
        value = float(ops.convert_to_numpy(self.schedule(step - step % self.every)))
        if value != self._value:
            self._open_variables()
            for variable in self.variables:
                variable.assign(ops.full(variable.shape, value, variable.dtype))
            self._value = value


class Refresh(_Stepwise):
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
        self.layers = _members(self.model, Compressed)
        if not self.layers:
            raise ValueError(f"Model '{self.model.name}' must have transforms on weights. Use tfcompress.compress.")

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
        self._open_variables()
        for transform, weight in self._pairs():
            transform.update(slots.tensor(weight))

    def _pairs(self) -> Iterator[tuple[Transform, keras.Variable]]:
        for layer in self.layers:
            for slot, transform in layer.transforms.items():
                yield transform, slots.weight(layer.layer, slot)
