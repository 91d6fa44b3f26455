r"""Bit-widths learned by gradient descent, from the largest value, the step and the exponent of a quantiser (DJPQ).

    u  =  min(|x|, q)^t                    q the largest value, t the exponent
    y  =  sign(x) * d * round(u / d)       d the step
    b  =  log2(q^t / d + 1) + 1            the bits that the codes need, a fraction; without the 1 where no sign is

q, d and t are learned, one of each per tensor, by

    dy/dd  =  sign(x) * (round(u / d) - u / d)
    dy/dq  =  sign(x) * t * q^(t-1)  where |x| >= q,  else 0
    dy/dt  =  sign(x) * u * log(min(|x|, q))
    dy/dx  =  1  where |x| < q,  else 0                straight through

and by the price of b: the wider the step and the lower the largest value, the fewer bits. Inference computes the same,
and stores codes of the next whole width above b; feature maps saturate there, where their codes end, and not at q. Once
a width is fixed, d follows q: all codes of the width are used.

y lies on an even grid whatever t is, so weights are plain integers in the file. A feature map would need a power at run
time: its t is 1.

x is measured in a ``unit`` of its own for every slice, so that all of it is within 1 at first; there are one q, d and t
for all slices, and so one width. q and d are stored as logarithms, divided by how much faster they shall move
than weights: an optimizer like Adam moves every variable by about its learning rate, and from 8 bits to 2 a step has a
way of 4 in the logarithm. Gradients are divided by the square of that, which makes plain gradient descent the same as
on the logarithm itself. d stays where b is within the widths; there it feels no gradient that would push it out.

Reference: Wang, Lu and Blankevoort, "Differentiable Joint Pruning and Quantization for Hardware Efficiency", ECCV 2020,
https://arxiv.org/abs/2007.10463, and US patent 12131258 B2, Qualcomm. Differs from the source in the units of the
slices and in the logarithms; in weights that are never zero by rule (its q_s is 0, as there); in prices, which
``callbacks.Budget`` raises until a budget is met, where the source tries coefficients by hand; and in that a restricted
set of widths is rounded up to, not projected on in every step. Channels are pruned as in the source, by the gates of
``layers.InformationBottleneck``.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfcompress.axes import other_axes
from tfcompress.constraints import Within
from tfcompress.gradients import multiples, swift
from tfcompress.quantization.learned_bits import LearnedBits, highest
from tfcompress.structure.slots import tensor

STEP_SPEED, MAXIMUM_SPEED = 30.0, 10.0
"""How much faster the logarithms of step and largest value move than the variables that store them."""

FARTHEST = 4.0
"""The logarithm of the largest value stays within this of that at first."""

TINY = 2.0**-60
"""Keeps the logarithm of zero finite."""


def powers(x: Any, unit: Any, maximum: Any, step: Any, exponent: Any = None, signed: bool = True) -> Any:
    r"""``sign(x) * unit * step * round(min(|x| / unit, maximum)^exponent / step)``, with the gradients above.

    Args:
        x: float32, any shape.
        unit: float32, rank of ``x``, each axis 1 or that of ``x``; without gradient.
        maximum: float32 scalar, above 0.
        step: float32 scalar, above 0.
        exponent: float32 scalar, above 0; None for 1.
        signed: False makes zeros of negative values.
    """
    t = ops.ones_like(maximum) if exponent is None else exponent

    def parts(x: Any, maximum: Any, t: Any) -> tuple[Any, Any, Any]:
        size = (ops.abs(x) if signed else ops.maximum(x, 0.0)) / unit
        clipped = ops.minimum(size, maximum)
        return size, clipped, clipped if exponent is None else ops.power(clipped, t)

    @ops.custom_gradient
    def forward(x: Any, maximum: Any, step: Any, t: Any) -> Any:
        def backward(upstream: Any) -> Any:
            size, clipped, u = parts(x, maximum, t)
            beyond = size >= maximum
            along = upstream * ops.sign(x) * unit
            by_step = ops.sum(along * (ops.round(u / step) - u / step))
            by_maximum = ops.sum(ops.where(beyond, along, 0.0)) * t * ops.power(maximum, t - 1)
            by_t = ops.zeros_like(t) if exponent is None else ops.sum(along * u * ops.log(ops.maximum(clipped, TINY)))
            passes = ops.logical_not(beyond) if signed else ops.logical_and(x >= 0, ops.logical_not(beyond))
            return ops.where(passes, upstream, 0.0), by_maximum, by_step, by_t

        codes = ops.round(parts(x, maximum, t)[2] / step)
        return (codes * ops.sign(x)) * (step * unit), backward

    return forward(x, maximum, step, t)


def bits_of(maximum: Any, step: Any, exponent: Any = 1.0, signed: bool = True) -> Any:
    """The bits that the codes need: ``log2(maximum^exponent / step + 1)``, and 1 for the sign."""
    return ops.log(ops.power(maximum, exponent) / step + 1) / math.log(2) + float(signed)


def held(value: Any, low: Any, high: Any) -> Any:
    """``value`` clipped to ``low .. high``; the gradient that would push it further out is not passed on.

    A limit that ``value`` is clipped to gets the gradient, as in a plain clip.
    """

    @ops.custom_gradient
    def forward(value: Any, low: Any, high: Any) -> Any:
        below, above = value < low, value > high

        def backward(upstream: Any) -> Any:
            outwards = ops.logical_or(
                ops.logical_and(below, upstream > 0), ops.logical_and(above, upstream < 0)
            )  # descent goes against the gradient
            by_low, by_high = ops.where(below, upstream, 0.0), ops.where(above, upstream, 0.0)
            return ops.where(outwards, 0.0, upstream), by_low, by_high

        return ops.minimum(ops.maximum(value, low), high), backward

    return forward(value, low, high)


@keras.saving.register_keras_serializable("tfcompress")
class DifferentiableBits(LearnedBits):
    """Quantises weights or a feature map, and learns to how many bits.

    With ``price=0`` and without ``callbacks.Budget`` nothing pays for bits, and the width stays about where it is.

    Args:
        bits: The width at first, within ``widths``. Default 8.
        widths: The widths that inference may have, ascending, 2 to 16. Default: 2 to 8.
        price: Price of one more bit on the whole tensor, in units of the loss; at least 0. Default 0, for
            ``callbacks.Budget`` to raise.
        axis: Axis, or axes, with their own units; ``()`` is one for the whole tensor. The width is that of the whole
            tensor all the same. None (default) is decided by the slot: the output channels of a weight, ``()`` for a
            feature map.
        signed: Whether there are negative codes. None (default) is decided by the slot: False for a feature map behind
            a ReLU, softmax or sigmoid, else True.
        narrow_range: Drops the lowest signed code. None (default) is decided by the slot: True for weights, as TFLite
            demands.
        learned: Whether training moves anything, or leaves range and width as calibrated. None (default) is decided by
            the slot: False for the input of a model, else True.
        learned_exponent: Whether the exponent is learned, or 1. None (default) is decided by the slot: True for
            weights, False for feature maps, which no chip raises to a power.

    Raises:
        ValueError: An argument is out of range, or an axis with its own units is missing or has no fixed size.
    """

    def __init__(
        self,
        bits: int = 8,
        widths: Sequence[int] = (2, 3, 4, 5, 6, 7, 8),
        price: float = 0.0,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        narrow_range: bool | None = None,
        learned: bool | None = None,
        learned_exponent: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(widths, price, axis, signed, narrow_range, learned, **kwargs)
        if not min(widths) <= bits <= max(widths):
            raise ValueError(f"`bits` must be within `widths`. Received: bits={bits}, widths={widths}")
        self.bits, self.learned_exponent = bits, learned_exponent

    def build(self, input_shape: Any) -> None:
        """Creates ``log_maximum``, ``log_step`` and, if it is learned, ``exponent``, one of each per tensor."""
        super().build(input_shape)
        trained = self.is_learned
        reach = FARTHEST / MAXIMUM_SPEED
        self.log_maximum = self.add_weight(
            shape=(), initializer="zeros", trainable=trained, constraint=Within(-reach, reach), name="log_maximum"
        )
        self.log_step = self.add_weight(shape=(), initializer="zeros", trainable=trained, name="log_step")
        self.exponent: Any = None
        if self.learned_exponent:
            self.exponent = self.add_weight(
                shape=(), initializer="ones", trainable=trained, constraint=Within(0.5, 2.0), name="exponent"
            )

    @property
    def _curve(self) -> tuple[Any, Any, Any]:
        """Largest value and step, both in units, and the exponent or None."""
        maximum = ops.exp(swift(ops.convert_to_tensor(self.log_maximum), MAXIMUM_SPEED))
        step = ops.exp(swift(ops.convert_to_tensor(self.log_step), STEP_SPEED))
        exponent = None if self.exponent is None else tensor(self.exponent)
        reached = maximum if exponent is None else ops.power(maximum, exponent)
        fixed = ops.convert_to_tensor(self.fixed)
        narrowest, widest = (ops.where(self.is_fixed, fixed, float(b)) for b in (self.widths[0], self.widths[-1]))
        low, high = (reached / highest(b, self.is_signed) for b in (widest, narrowest))
        return maximum, held(step / highest(self.bits, self.is_signed), low, high), exponent

    @property
    def soft_bits(self) -> Any:
        """The width, differentiable; float32 scalar."""
        maximum, step, exponent = self._curve
        return bits_of(maximum, step, 1.0 if exponent is None else exponent, self.is_signed)

    @property
    def step(self) -> Any:
        """The distance between levels, one per slice."""
        return self._curve[1] * ops.convert_to_tensor(self.unit)

    def quantized(self, x: Any, training: bool) -> Any:
        """The same in training and at inference, but that there what has no exponent saturates where its codes end."""
        maximum, step, exponent = self._curve
        if exponent is None and not training:
            high = highest(self._whole(bits_of(maximum, step, 1.0, self.is_signed)), self.is_signed)
            return multiples(x, step * tensor(self.unit), self.lowest(high), high)
        return powers(x, tensor(self.unit), maximum, step, exponent, self.is_signed)

    def _whole(self, bits: Any) -> Any:
        """What ``rounded_up`` makes of ``bits``, in the graph."""
        widths = ops.convert_to_tensor(self.widths, "float32")
        up = ops.min(ops.where(widths >= bits - 1e-3, widths, widths[-1]))
        return ops.where(self.is_fixed, ops.convert_to_tensor(self.fixed), up)

    def measure(self, x: Any) -> Any:
        """The root mean squares of the slices, times a number by which all of ``x`` is just within 1."""
        others = other_axes(len(x.shape), self.axis)
        size = ops.abs(x) if self.is_signed else ops.maximum(x, 0.0)
        largest = ops.max(size, axis=others, keepdims=True)
        spread = ops.sqrt(ops.mean(ops.square(size), axis=others, keepdims=True))
        widest = ops.max(spread)
        spread = ops.where(spread > 0, spread, ops.where(widest > 0, widest, 1.0))
        farthest = ops.max(largest / spread)
        return spread * ops.where(farthest > 0, farthest, 1.0) * (1 - 2.0**-20)

    def calibrate(self, x: Any) -> None:
        """Measures ``x``, and goes back to the width at first."""
        super().calibrate(x)
        self.log_maximum.assign(ops.zeros(()))
        self.log_step.assign(ops.zeros(()))
        if self.exponent is not None:
            self.exponent.assign(ops.ones(()))

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        return {**super().get_config(), "bits": self.bits, "learned_exponent": self.learned_exponent}
