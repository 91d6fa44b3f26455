r"""Learned step size quantisation (LSQ).

Rounds a tensor to evenly spaced levels and learns the spacing, the step, by gradient descent along with the weights:

    y = clip(round(x / s), low, high) * s,    low, high = the ends of the grid, e.g. -7 and 7 for signed 4-bit weights

``round`` passes gradients straight through, see ``gradients.multiples``. The gradient of ``s`` is divided by
``sqrt(N * high)``, with ``N`` the number of elements that share one step, so that steps and weights move at similar
relative speed (section 2.2). With ``power_of_two`` the step is rounded to the nearest power of two (in the logarithm)
on the way, straight through, and multiplying by it is a shift.

The step is stored as ``s = unit * ratio``: ``unit`` is the initial step and stays, ``ratio`` is learned and starts
at 1. An optimizer like Adam moves every variable by about its learning rate per step; a step of 0.003 would not
survive that, a ratio of 1 does. The gradient of ``ratio`` is divided by ``unit ** 2``, which makes plain gradient
descent on ``ratio`` the same as on ``s``.

``unit`` is not a number until ``calibrate`` or the first training batch sets it, inside the graph. An uncalibrated
LSQ therefore delivers nothing but NaN at inference, rather than something that no chip computes.

Reference: Esser et al., "Learned Step Size Quantization", ICLR 2020, https://arxiv.org/abs/1902.08153. Differs from
the source in the storage of the step just described; in the initial step, which is the best of twenty by squared
error and not ``2 * mean(|x|) / sqrt(high)``, of whose range 8-bit tensors would use a quarter; in where the range
ends, see ``gradients.multiples``; in the range of weights, which is symmetric as TFLite int8 kernels require; and in
that steps may be powers of two or one per channel.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress import gradients
from tfcompress.constraints import AtLeast
from tfcompress.quantization.stepped import Stepped
from tfcompress.quantization.steps import initial_step, nearest_power_of_two


@keras.saving.register_keras_serializable("tfcompress")
class LSQ(Stepped):
    """Quantises to ``bits`` bits with learned steps.

    Args:
        bits: Width of the stored integer, 2 to 16. Default 8.
        axis: Axis, or axes, with their own steps; ``()`` is one step for the whole tensor. None (default) is decided
            by the slot: the output channels of a weight, ``()`` for a feature map.
        signed: Whether there are negative codes. None (default) is decided by the slot: False for a feature map behind
            a ReLU, softmax or sigmoid, else True.
        narrow_range: Drops the lowest signed code. None (default) is decided by the slot: True for weights, as TFLite
            demands.
        power_of_two: Rounds the steps to powers of two.
        learned: Whether training moves the steps, or leaves them as calibrated. None (default) is decided by the slot:
            False for the input of a model, whose range is a fact; to learn its step would cost a convolution more on
            the way back. Else True.

    Raises:
        ValueError: ``bits`` is outside 2 to 16, or an axis with its own steps is missing or has no fixed size.
    """

    def __init__(
        self,
        bits: int = 8,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        narrow_range: bool | None = None,
        power_of_two: bool = False,
        learned: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, signed, narrow_range, learned, **kwargs)
        if bits not in range(2, 17):
            raise ValueError(f"`bits` must be a whole number from 2 to 16. Received: bits={bits}")
        self.bits, self.power_of_two = bits, power_of_two

    def build(self, input_shape: Any) -> None:
        """Creates ``unit`` (not trained, NaN until calibrated) and ``ratio`` (trained), one value per slice."""
        super().build(input_shape)
        self.ratio = self.add_weight(
            shape=self.slice_shape,
            initializer="ones",
            trainable=self.is_learned,
            constraint=AtLeast(2**-10),
            name="ratio",
        )
        self.gradient_scale = 1 / math.sqrt(self.elements * self.codes.high)

    @property
    def step(self) -> Any:
        """The distance between levels, one per slice."""
        unit = ops.convert_to_tensor(self.unit)
        step = unit * gradients.scale(self.ratio, self.gradient_scale / ops.square(unit))
        return nearest_power_of_two(step) if self.power_of_two else step

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Rounds ``x``; the first training call of an uncalibrated LSQ takes the initial step from it."""
        if training:
            self.measure_once(x)
        return gradients.multiples(x, self.step, float(self.codes.low), float(self.codes.high))

    def measure(self, x: Any) -> Any:
        """The steps of least squared error on ``x``."""
        return initial_step(x, self.axis, self.codes.low, self.codes.high, self.power_of_two)

    def calibrate(self, x: Any) -> None:
        """Sets the steps to those of least squared error on ``x``."""
        super().calibrate(x)
        self.ratio.assign(ops.ones(self.ratio.shape))

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        return {**super().get_config(), "bits": self.bits, "power_of_two": self.power_of_two}
