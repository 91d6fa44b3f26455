"""Hyperparameters of transforms as functions of the training step."""

import re
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfcompress.callbacks.stepwise import Stepwise, layers_of
from tfcompress.channel_switch import ChannelSwitch
from tfcompress.constant_gate import ConstantGate
from tfcompress.schedules import translated
from tfcompress.transform import Transform


class Anneal(Stepwise):
    """Sets a hyperparameter of transforms and gates as a function of the training step.

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
        self.attribute, self.schedule, self.match, self.every = attribute, translated(schedule), match, every
        self._value: float | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds the variables."""
        named = [
            t
            for t in layers_of(self.model, (Transform, ConstantGate, ChannelSwitch))
            if re.fullmatch(self.match, t.name)
        ]
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
            self.open_variables()
            for variable in self.variables:
                variable.assign(ops.full(variable.shape, value, variable.dtype))
            self._value = value
