r"""Soft rounding: a staircase with slopes in place of jumps, the same function forward and backward.

In units of the step s, u = x / s, with the codes low to high, T the temperature, S the logistic function:

    Q_T(u)  =  low + sum_{k = low}^{high - 1} S((u - (k + 1/2)) / T)              training
    Q(u)    =  clip(round(u), low, high)                                          inference; the limit for T -> 0
    y       =  Q(u) * s

    dQ_T/du =  sum_k S_k * (1 - S_k) / T,     dy/dx = dQ_T/du,     dy/ds = Q_T(u) - u * dQ_T/du

Straight-through estimation rounds forward and goes back as if it had not, so that the gradient is not that of the loss
at hand. Here it is: nothing is replaced. The temperature says how far that loss is from the one that is deployed.
Q_T(u) is the mean of Q(u + T * noise) with logistic noise, so the temperature is a size of noise, too; at 0.5, Q_T is
all but the identity between low and high, at 0.05 all but Q. Slopes are 1 on average and ``1 / (4 T)`` at most.

Fall with the temperature while training, by equal factors, and round for the last steps: from ``hard_step`` on the
forward pass is Q, its gradient straight through (``gradients.multiples``), so that batch norms and biases settle on
what is deployed.

    steps = 80 % of all;  SoftRound(4, schedules.Ramp(0, steps, 0.05, 0.5, geometric=True), hard_step=steps)

Only thresholds within ``REACH`` temperatures of u are looked at, as wide as the temperature is at first or at the end;
the others are 0 or 1 to five digits. Steps are stored as ``s = unit * ratio`` as those of ``LSQ`` are, and get the
same scale of their gradient.

Reference: US11494657B2, Perceive, "Quantizing neural networks using approximate quantization function", 2022,
https://patents.google.com/patent/US11494657B2. Differs from the source in that the function is written out: the patent
speaks of a temperature that is the difference from a step function and the noise that goes with it. Learned steps,
the initial step (``steps.py``) and the hard end are ours.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tfcompress import gradients
from tfcompress.constraints import AtLeast
from tfcompress.quantization.stepped import Stepped
from tfcompress.quantization.steps import initial_step
from tfcompress.schedules import translated

REACH = 12
"""Thresholds further away than so many temperatures count as passed or not."""

COLDEST, FOREVER = 1e-3, 2**30
"""Least temperature, and a step after all schedules."""


def soft_round(x: Any, step: Any, temperature: Any, low: int, high: int, window: int) -> Any:
    """The staircase with slopes, with its true gradients.

    Args:
        x: float32, any shape.
        step: float32, rank of ``x``, each axis 1 or that of ``x``.
        temperature: float32 scalar, above 0, without gradient.
        low: Smallest code.
        high: Largest code.
        window: How many thresholds around ``x`` are looked at; at most ``high - low``, all of them.
    """

    @ops.custom_gradient
    def forward(x: Any, step: Any, temperature: Any) -> Any:
        u = x / step
        first = ops.clip(ops.round(u) - window // 2, low, high - window)
        distance = (u - first - 0.5) / temperature
        code, slope = first, ops.zeros_like(u)
        for k in range(window):
            passed = ops.sigmoid(distance - k / temperature)
            code, slope = code + passed, slope + passed * (1 - passed)
        slope = slope / temperature

        def backward(upstream: Any) -> Any:
            by_step = gradients.sum_to(upstream * (code - u * slope), step)
            return upstream * slope, by_step, ops.zeros_like(temperature)

        return code * step, backward

    return forward(x, step, temperature)


@keras.saving.register_keras_serializable("tfcompress")
class SoftRound(Stepped):
    """Quantises to ``bits`` bits, in training by a soft staircase that becomes steeper.

    Args:
        bits: Width of the stored integer, 2 to 8. Default 4.
        temperature: Width of the slopes in steps of the grid, above 0: a number (default 0.1), or a function of the
            training step, best a falling ``tfcompress.schedules.Ramp``; below a thousandth it stays there.
        hard_step: Training step from which on training rounds, with a straight-through gradient. None (default) is
            never.
        axis: Axis, or axes, with their own steps; ``()`` is one step for the whole tensor. None (default) is decided
            by the slot: the output channels of a weight, ``()`` for a feature map.
        signed: Whether there are negative codes. None (default) is decided by the slot: False for a feature map behind
            a ReLU, softmax or sigmoid, else True.
        narrow_range: Drops the lowest signed code. None (default) is decided by the slot: True for weights, as TFLite
            demands.
        learned: Whether training moves the steps. None (default) is decided by the slot: False for the input of a
            model, else True.

    Raises:
        ValueError: An argument is out of range, or an axis with its own steps is missing or has no fixed size.
    """

    def __init__(
        self,
        bits: int = 4,
        temperature: float | Callable[[Any], Any] = 0.1,
        hard_step: int | None = None,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        narrow_range: bool | None = None,
        learned: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, signed, narrow_range, learned, **kwargs)
        if bits not in range(2, 9):
            raise ValueError(f"`bits` must be a whole number from 2 to 8. Received: bits={bits}")
        if not callable(temperature) and not temperature > 0:
            raise ValueError(f"`temperature` must be above 0, or a schedule. Received: temperature={temperature}")
        if hard_step is not None and hard_step < 0:
            raise ValueError(f"`hard_step` must be at least 0, or None for never. Received: hard_step={hard_step}")
        self.bits, self.temperature, self.hard_step = bits, translated(temperature), hard_step

    def build(self, input_shape: Any) -> None:
        """Creates ``unit`` (not trained, NaN until calibrated), ``ratio`` (trained), and ``count``, of steps."""
        super().build(input_shape)
        self.ratio = self.add_weight(
            shape=self.slice_shape,
            initializer="ones",
            trainable=self.is_learned,
            constraint=AtLeast(2**-10),
            name="ratio",
        )
        self.count = self.add_state("count", dtype="int32")
        self.gradient_scale = 1 / math.sqrt(self.elements * self.codes.high)
        widest = max(float(self.temperature_at(0)), float(self.temperature_at(FOREVER)))
        self.window = min(2 * math.ceil(REACH * widest), self.codes.high - self.codes.low)

    @property
    def step(self) -> Any:
        """The distance between levels, one per slice."""
        unit = ops.convert_to_tensor(self.unit)
        return unit * gradients.scale(self.ratio, self.gradient_scale / ops.square(unit))

    def temperature_at(self, step: Any) -> Any:
        """The temperature at a training step, float32 scalar."""
        now = self.temperature(step) if callable(self.temperature) else self.temperature
        return ops.maximum(ops.cast(now, "float32"), COLDEST)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Rounds softly in training, and at inference as it is deployed; the first training call may set the step."""
        if not training:
            return self._hard(x)
        self.measure_once(x)
        now = ops.cast(self.count, "int32")  # a tensor, where the variable itself would change with the next line
        self.count.assign(now + 1)
        if self.hard_step is None:
            return self._soft(x, now)
        return ops.cond(now < self.hard_step, lambda: self._soft(x, now), lambda: self._hard(x))

    def _hard(self, x: Any) -> Any:
        return gradients.multiples(x, self.step, float(self.codes.low), float(self.codes.high))

    def _soft(self, x: Any, now: Any) -> Any:
        return soft_round(x, self.step, self.temperature_at(now), self.codes.low, self.codes.high, self.window)

    def measure(self, x: Any) -> Any:
        """The steps of least squared error on ``x``."""
        return initial_step(x, self.axis, self.codes.low, self.codes.high)

    def calibrate(self, x: Any) -> None:
        """Sets the steps to those of least squared error on ``x``."""
        super().calibrate(x)
        self.ratio.assign(ops.ones(self.ratio.shape))

    def get_config(self) -> dict[str, Any]:
        """Configuration with the schedule serialised; None stays None, for the slot to decide."""
        given = self.temperature
        temperature = keras.saving.serialize_keras_object(given) if callable(given) else given
        return {**super().get_config(), "bits": self.bits, "temperature": temperature, "hard_step": self.hard_step}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SoftRound":
        """Rebuilds the schedule, then the transform."""
        if isinstance(config["temperature"], dict):
            config = {**config, "temperature": keras.saving.deserialize_keras_object(config["temperature"])}
        return cls(**config)
