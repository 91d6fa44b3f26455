r"""Bayesian Bits: a code of 2 bits, refined to 4 and to 8 by gates that training opens or closes, pruned by another.

Each width is the one before it, and what that left over, rounded on a finer grid. With c = x clipped to -r .. r,

    s_2 = 2 r / 3,     x_2 = s_2 * round(c / s_2)                    (r / 3 where no sign is)
    s_4 = s_2 / 5,     x_4 = s_4 * round((c - x_2) / s_4)            s_2b = s_b / (2^b + 1)
    s_8 = s_4 / 17,    x_8 = s_8 * round((c - x_2 - x_4) / s_8)

    y = z_2 * (x_2 + z_4 * (x_4 + z_8 * x_8))

so that with all gates up to b open, y is c rounded to b bits. z_2 is one gate for each output channel of a weight,
which prunes it; the others are one each per tensor. In training every gate is a sample of a hard concrete distribution,
which is 0 or 1 with a probability above 0:

    z = clip(S((log u - log(1 - u) + phi) / beta) * (zeta - gamma) + gamma, 0, 1),    u uniform, S the logistic function
    beta = 2/3, zeta = 1.1, gamma = -0.1,    P(z > 0) = q(phi) = S(phi - beta log(-gamma / zeta))
    loss += price * (2 + 2 q_4 + 4 q_4 q_8) + channel_price * sum_c q_2,c

At inference a gate is open where P(z = 0) < 0.34. phi and r are learned; ``round`` passes gradients straight through,
all others are true ones. Fixed gates are open or closed in training, too.

phi and the logarithm of r are stored divided by how much faster they shall move than weights: an optimizer like Adam
moves every variable by about its learning rate, and phi has a way of 5. The gradient of phi is divided by the square of
that, which makes plain gradient descent the same as on phi itself; that of log r by ``sqrt(N * high)``, as in LSQ.

A channel without a kernel still delivers a constant, made by bias and batch norm. ``edits.remove_channels`` takes it
out where the layers behind can take the constant over: not where they pad with zeros, unless it is zero. There, gates
behind the activation do better (``edits.insert_bottlenecks``), with ``prune=False`` here.

Reference: van Baalen et al., "Bayesian Bits: Unifying Quantization and Pruning", NeurIPS 2020,
https://arxiv.org/abs/2005.07093; a bit mask of concrete distributions in US patent 12131258 B2, Qualcomm. Differs from
the source in the price, there the sum over widths b of b times the probability that all gates up to b are open, which
counts the first bits several times, and here the mean of the width; in ranges of each output channel; in the widest
width, 8, since the file stores no more; in phi = 4 at first, where the authors begin with 6; and in that one channel
always stays.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress.axes import other_axes
from tfcompress.gradients import multiples, round_through, scale, swift
from tfcompress.quantization.learned_bits import LearnedBits, highest

BETA, ZETA, GAMMA = 2 / 3, 1.1, -0.1
"""Temperature of the gates, and the interval to which they are stretched before they are clipped to 0 .. 1."""

SHUT = BETA * math.log(-GAMMA / ZETA)
"""q(phi) = S(phi - SHUT)."""

OPEN = SHUT - math.log(0.34 / 0.66)
"""Inference opens a gate where phi is above this."""

START, SPEED = 4.0, 60.0
"""phi at first, and how much faster it moves than the variable that stores it."""

INSIDE = 1 - 1e-7
"""Where values are clipped, in r: half a step behind the last code would be rounded up."""


def gate(phi: Any, uniform: Any) -> Any:
    """A sample of the hard concrete distribution; ``uniform`` is above 0 and below 1, in the shape of ``phi``."""
    logistic = ops.sigmoid((ops.log(uniform) - ops.log(1 - uniform) + phi) / BETA)
    return ops.clip(logistic * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


def chance(phi: Any) -> Any:
    """The probability that a gate is not 0."""
    return ops.sigmoid(phi - SHUT)


def nested(x: Any, reach: Any, gates: Sequence[Any], widths: Sequence[int], signed: bool = True) -> Any:
    """``x`` on nested grids, each behind its gate.

    Args:
        x: float32, any shape.
        reach: float32, r; rank of ``x``, each axis 1 or that of ``x``.
        gates: One for each width, 0 to 1, broadcastable to ``x``.
        widths: Each twice the one before.
        signed: Whether values go from ``-reach`` to ``reach``, or from 0.
    """
    end = reach * INSIDE
    rest = ops.maximum(ops.minimum(x, end), -end if signed else 0.0)
    total, opened = 0.0, 1.0
    for width, z in zip(widths, gates, strict=True):
        step = reach * ((1 + signed) / (2**width - 1))
        part = round_through(rest / step) * step
        opened = opened * z
        total, rest = total + opened * part, rest - part
    return total


@keras.saving.register_keras_serializable("tfcompress")
class BayesianBits(LearnedBits):
    """Quantises weights or a feature map to 2, 4 or 8 bits, and learns to how many, and which channels to prune.

    With both prices 0 and without ``callbacks.Budget`` nothing pays for bits, and gates have no reason to close.

    Args:
        widths: The widths that inference may have, each twice the one before, 2 to 16. The first is always there.
            Default: 2, 4, 8.
        price: Price of one more bit on the whole tensor, in units of the loss; at least 0. Default 0, for
            ``callbacks.Budget`` to raise.
        channel_price: Price of one more output channel, likewise.
        prune: Whether slices along ``axis`` have gates that prune them. Default True; a tensor that is one slice, such
            as a feature map, has none.
        axis: Axis, or axes, with their own ranges; ``()`` is one for the whole tensor. None (default) is decided by the
            slot: the output channels of a weight, ``()`` for a feature map.
        signed: Whether there are negative codes. None (default) is decided by the slot: False for a feature map behind
            a ReLU, softmax or sigmoid, else True.
        narrow_range: Drops the lowest signed code. None (default) is decided by the slot: True for weights, as TFLite
            demands.
        learned: Whether training moves anything, or leaves range and width as calibrated. None (default) is decided by
            the slot: False for the input of a model, else True.
        seed: Of the random numbers, a whole number; None (default) draws one.

    Raises:
        ValueError: An argument is out of range, or an axis with its own ranges is missing or has no fixed size.
    """

    def __init__(
        self,
        widths: Sequence[int] = (2, 4, 8),
        price: float = 0.0,
        channel_price: float = 0.0,
        prune: bool = True,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        narrow_range: bool | None = None,
        learned: bool | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(widths, price, axis, signed, narrow_range, learned, **kwargs)
        if any(wide != 2 * narrow for narrow, wide in itertools.pairwise(widths)):
            raise ValueError(f"`widths` must be such that each is twice the one before. Received: widths={widths}")
        if not channel_price >= 0:
            raise ValueError(f"`channel_price` must be at least 0. Received: channel_price={channel_price}")
        self.initial_channel_price, self.prune, self.seed = channel_price, prune, seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Creates ``log_reach``, the gates ``phi`` and ``channel_phi``, and ``open``, the channels fixed gates keep."""
        super().build(input_shape)
        trained, start = self.is_learned, keras.initializers.Constant(START / SPEED)
        self.log_reach = self.add_weight(
            shape=self.slice_shape, initializer="zeros", trainable=trained, name="log_reach"
        )
        steps = len(self.widths) - 1
        self.phi = self.add_weight(shape=(steps,), initializer=start, trainable=trained and steps > 0, name="phi")
        self.prunes = self.prune and trained and math.prod(self.slice_shape) > 1
        if self.prunes:
            self.channel_phi = self.add_weight(shape=self.slice_shape, initializer=start, name="channel_phi")
            price = keras.initializers.Constant(self.initial_channel_price)
            self.channel_price = self.add_state("channel_price", price)
            self.open = self.add_state("open", "ones", self.slice_shape)
        self.gradient_scale = 1 / math.sqrt(self.elements * highest(self.widths[-1], self.is_signed))

    @property
    def reach(self) -> Any:
        """r, one per slice."""
        return ops.convert_to_tensor(self.unit) * ops.exp(
            scale(ops.convert_to_tensor(self.log_reach), self.gradient_scale / ops.square(self.unit))
        )

    @property
    def soft_bits(self) -> Any:
        """The mean width of what is not pruned."""
        return self._mean_width(chance(_swift(self.phi)))

    def _mean_width(self, opened: Any) -> Any:
        increments = np.diff(self.widths).astype("float32")
        return float(self.widths[0]) + ops.sum(ops.cumprod(opened) * increments)

    @property
    def _hard(self) -> Any:
        """1.0 for each gate of a width that is open at inference, else 0.0."""
        wanted = ops.convert_to_tensor(np.array(self.widths[1:], "float32"))
        opened = ops.where(self.is_fixed, ops.convert_to_tensor(self.fixed) >= wanted, _swift(self.phi) > OPEN)
        return ops.cumprod(ops.cast(opened, "float32"))

    def rounded(self, shift: float = 0.0) -> int:
        """The width that inference has as long as none is fixed, were all phi of it ``shift`` more."""
        opened = np.cumprod(ops.convert_to_numpy(_swift(self.phi)) + shift > OPEN)
        return self.widths[int(opened.sum())]

    @property
    def margin(self) -> Any:
        """How far each slice is from being pruned, negative where it is; one per slice, only if slices have gates."""
        return _swift(self.channel_phi) - OPEN

    @property
    def channels(self) -> Any:
        """1.0 for each slice that inference keeps, else 0.0; one per slice."""
        if not self.prunes:
            return ops.ones(self.slice_shape)
        opened = ops.logical_or(self.margin > 0, self.margin == ops.max(self.margin))
        return ops.where(self.is_fixed, ops.convert_to_tensor(self.open), ops.cast(opened, "float32"))

    @property
    def step(self) -> Any:
        """The distance between levels, one per slice."""
        return self.reach * ((1 + self.is_signed) / (2.0 ** self._mean_width(self._hard) - 1))

    def quantized(self, x: Any, training: bool) -> Any:
        """Nested grids in training, one grid at inference."""
        if not training:
            high = ops.floor((2.0 ** self._mean_width(self._hard) - 1) / (1 + self.is_signed))
            return multiples(x, self.step, self.lowest(high), high) * ops.stop_gradient(self.channels)
        gates = ops.where(self.is_fixed, self._hard, self._sample(self.phi))
        first = ops.where(self.is_fixed, self.channels, self._sample(self.channel_phi)) if self.prunes else 1.0
        return nested(x, self.reach, [first, *ops.unstack(gates, len(self.widths) - 1)], self.widths, self.is_signed)

    def _sample(self, phi: keras.Variable) -> Any:
        uniform = keras.random.uniform(phi.shape, minval=1e-6, maxval=1 - 1e-6, dtype="float32", seed=self.generator)
        return gate(_swift(phi), uniform)

    def dues(self) -> Any:
        """What is paid in one step; scalar."""
        bits = super().dues()
        if not self.prunes:
            return bits
        return bits + ops.convert_to_tensor(self.channel_price) * ops.sum(chance(_swift(self.channel_phi)))

    def measure(self, x: Any) -> Any:
        """The largest size in each slice."""
        size = ops.abs(x) if self.is_signed else ops.maximum(x, 0.0)
        largest = ops.max(size, axis=other_axes(len(x.shape), self.axis), keepdims=True)
        return ops.where(largest > 0, largest, 1.0)

    def calibrate(self, x: Any) -> None:
        """Measures ``x``."""
        super().calibrate(x)
        self.log_reach.assign(ops.zeros(self.slice_shape))

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        mine = {"channel_price": self.initial_channel_price, "prune": self.prune, "seed": self.seed}
        return {**super().get_config(), **mine}


def _swift(phi: keras.Variable) -> Any:
    """phi from what is stored."""
    return swift(ops.convert_to_tensor(phi), SPEED)
