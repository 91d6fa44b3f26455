r"""Joint pruning and quantisation: thresholds and bit-widths are learned with the weights, by one loss.

    training     u = w * h(w; alpha, tau * beta)                    weights only: about 0 within alpha of zero, else w
                 y = sum_b p_b * Q_b(u),    p = softmax(tau * a)    the average over all widths b
                 loss += kept_penalty * sum(h) + bit_penalty * n * sum_b p_b * b
    from snap_step on, and at inference
                 y = Q_b*(w * mask),    mask = |w| >= alpha,  b* = argmax(a),  both as they were at ``snap_step``

    Q_b(u) = clip(round(u / s_b), low_b, high_b) * s_b,    s_b = max|w| / high_b

alpha, beta (``edges.py``) and the logits a are learned, one of each per tensor. A feature map is not pruned, and its
range is a moving one. The three prices are three arguments: ``kept_penalty`` and ``bit_penalty`` of a transform on
weights, ``bit_penalty`` of one on a map. n counts the weights, or the values of a map for one example.

An average of levels is not a level: what is trained would not be what is deployed. Hence the temperature tau. From
``begin_step`` on, a third of the way to ``snap_step`` is for the prices to rise from 0 to the full, with tau = 1; in
the rest tau rises to ``HARDEST``, by the same factor in every step, and drives p towards one width and the edges of h
towards steps. Then the choice and the mask are fixed, and the training that is left is for the weights, which see
exactly the network that is deployed.

Gradients: ``round`` passes them straight through, inside the range; s_b gets none; all others are true ones, so that

    dL/da_b = tau * p_b * (<g, Q_b> - <g, y>)

How the average passes gradients on, ``average.py`` says. An optimizer like Adam moves every variable by about its
learning rate, and logits and the logarithms of alpha and beta have a longer way to go than weights: they are stored
divided by ``SPEED``.

Reference: Georgiadis and Deng, "Jointly pruning and quantizing deep neural networks", US patents 11475308 B2 (2022)
and 12608615 B2, Samsung, https://patents.google.com/patent/US11475308B2. The claims give the average over all levels,
the three added losses and what they train. Differs from the source in: averaging weights by softmax, the prices and
the steps s_b are our reading, for the claims leave them open; temperature and snapping are ours; and the prices are
plain sums times a coefficient, as in Keras' regularizers, not divided by the size of the model.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress import edges, gradients
from tfcompress.axes import as_axes, other_axes, slice_shape
from tfcompress.grid import Grid
from tfcompress.joint.average import average
from tfcompress.measured import Measured
from tfcompress.transform import require_calibrated

ALPHA, BETA = 0.25, 20.0
"""Where the edges are at first, in root mean squares of the weights, and their sharpness, in one over them."""

HARDEST = 100.0
"""The temperature at which widths and masks snap."""

SPEED = 10.0
"""How much faster a and the logarithms of alpha and beta move than the variables that store them."""

FAVOUR = 0.5
"""The logit that each further bit starts with: the widest is the first choice."""

SAMPLE = 4
"""One in so many examples decides over the width of a feature map."""

TINY = 2.0**-100
"""The range of a tensor of zeros."""


def _size(x: Any) -> Any:
    """Root of the mean square; 1 of zeros."""
    square = ops.mean(ops.square(ops.stop_gradient(x)))
    return ops.where(square > 0, ops.sqrt(square), 1.0)


@keras.saving.register_keras_serializable("tfcompress")
class JointPruneQuantize(Measured):
    """Prunes weights and chooses one of several bit-widths, for weights or for a feature map.

    Arguments left at None are decided by the slot; the values for weights and for feature maps are given below.

    Args:
        snap_step: Training step from which on width and mask stay, above ``begin_step``. Four fifths of the training
            is a good place: the rest is for the weights to settle.
        bits: The widths to choose from, ascending, 2 to 16 each.
        kept_penalty: Price of one weight that is kept, in units of the loss; at least 0.
        bit_penalty: Price of one more bit on one weight, or on one value of a map, in units of the loss; at least 0.
        begin_step: Training step at which prices and temperature begin to rise. Default 0.
        axis: Axis, or axes, with their own steps; ``()`` is one step for the whole tensor. None: the output channels
            of a weight; ``()`` for a feature map.
        signed: Whether there are negative codes. None: True; False for a feature map behind a ReLU, softmax or sigmoid.
        narrow_range: Drops the lowest signed code. None: True for a weight, False for a feature map.
        momentum: Weight of the old range against that of one more batch, 0 to below 1. None: 0 for a weight, whose
            range is the current one, and which is pruned; 0.99 for a feature map, which is not.

    Raises:
        ValueError: An argument is out of range, or an axis with its own steps is missing or has no fixed size.
    """

    def __init__(
        self,
        snap_step: int,
        bits: Sequence[int] = (2, 3, 4, 5, 6, 7, 8),
        kept_penalty: float = 1e-6,
        bit_penalty: float = 1e-7,
        begin_step: int = 0,
        axis: int | Sequence[int] | None = None,
        signed: bool | None = None,
        narrow_range: bool | None = None,
        momentum: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not bits or any(b not in range(2, 17) for b in bits) or list(bits) != sorted(set(bits)):
            raise ValueError(f"`bits` must be ascending whole numbers from 2 to 16. Received: bits={bits}")
        if not 0 <= begin_step < snap_step:
            raise ValueError(
                "`begin_step` must be at least 0, and `snap_step` above it. "
                f"Received: begin_step={begin_step}, snap_step={snap_step}"
            )
        for name, penalty in (("kept_penalty", kept_penalty), ("bit_penalty", bit_penalty)):
            if not penalty >= 0:
                raise ValueError(f"`{name}` must be at least 0. Received: {name}={penalty}")
        if momentum is not None and not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: momentum={momentum}")
        self.snap_step, self.begin_step, self.bits = snap_step, begin_step, tuple(bits)
        self.kept_penalty, self.bit_penalty = kept_penalty, bit_penalty
        self.axis, self.signed, self.narrow_range, self.momentum = as_axes(axis), signed, narrow_range, momentum

    def build(self, input_shape: Any) -> None:
        """Creates what is learned, the step counter, the choice, and what is measured (NaN until calibrated)."""
        shape = slice_shape(input_shape, self.axis, self.name)
        if self._prunes and None in input_shape:
            raise ValueError(
                f"JointPruneQuantize '{self.name}' with momentum=0 must be on a weight. "
                f"Received: a feature map, {tuple(input_shape)}. Leave momentum=None, for the slot to decide."
            )
        favour = keras.initializers.Constant(FAVOUR / SPEED * (np.array(self.bits) - self.bits[-1]))
        self.logits = self.add_weight(
            shape=(len(self.bits),), initializer=favour, trainable=len(self.bits) > 1, name="logits"
        )
        self.step, self.choice = (self.add_state(name, dtype="int32") for name in ("step", "choice"))
        if not self._prunes:
            unknown = keras.initializers.Constant(np.nan)
            self.reach = self.add_weight(
                shape=shape, initializer=unknown, trainable=False, aggregation="mean", name="reach"
            )
            return
        self.unit = self.add_measured("unit")
        self.log_alpha, self.log_beta = (
            self.add_weight(shape=(), initializer=keras.initializers.Constant(math.log(start) / SPEED), name=name)
            for name, start in (("log_alpha", ALPHA), ("log_beta", BETA))
        )
        self.mask = self.add_state("mask", "ones", tuple(input_shape), "bool")

    @property
    def measured(self) -> keras.Variable:
        """The size of the weights, or the range of a map."""
        return self.unit if self._prunes else self.reach

    def measure(self, x: Any) -> Any:
        """Of a tensor, what ``measured`` holds."""
        return _size(x) if self._prunes else self._largest(x)

    @property
    def _prunes(self) -> bool:
        return self.momentum == 0

    @property
    def _codes(self) -> list[Grid]:
        signed, narrow_range = self.signed is not False, bool(self.narrow_range)
        return [Grid(1.0, bits, signed=signed, narrow_range=narrow_range) for bits in self.bits]

    @property
    def progress(self) -> Any:
        """The way from ``begin_step`` to ``snap_step``, 0 to 1."""
        passed = ops.cast(ops.convert_to_tensor(self.step) - self.begin_step, "float32")
        return ops.clip(passed / (self.snap_step - self.begin_step), 0.0, 1.0)

    @property
    def frozen(self) -> Any:
        """Whether width and mask are there to stay; bool scalar."""
        return ops.convert_to_tensor(self.step) > self.snap_step

    @property
    def chosen(self) -> Any:
        """Which of the widths inference uses; int32 scalar."""
        best = ops.cast(ops.argmax(ops.convert_to_tensor(self.logits)), "int32")
        return ops.where(self.frozen, ops.convert_to_tensor(self.choice), best)

    def kept(self, x: Any) -> Any:
        """True where inference keeps the weights ``x``."""
        reached = ops.abs(ops.stop_gradient(x)) >= ops.stop_gradient(self._alpha(x))
        return ops.where(self.frozen, ops.convert_to_tensor(self.mask), reached)

    def _alpha(self, x: Any) -> Any:
        """Where the edges are; never beyond the largest weight, so that one is always kept."""
        alpha = ops.convert_to_tensor(self.unit) * ops.exp(SPEED * ops.convert_to_tensor(self.log_alpha))
        return ops.minimum(alpha, ops.max(ops.abs(ops.stop_gradient(x))))

    def _beta(self, temperature: Any) -> Any:
        """Sharpness of the edges."""
        return temperature * ops.exp(SPEED * ops.convert_to_tensor(self.log_beta)) / ops.convert_to_tensor(self.unit)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Averages in training until ``snap_step``; one width and a hard mask from then on, and at inference."""
        if training:
            follow = self.measure_once if self._prunes else self._move
            follow(x)
        choice, kept = self.chosen, self.kept(x) if self._prunes else None
        if not training:
            return self._deployed(x, choice, kept)
        y = self._averaged(x, choice, kept)
        self.choice.assign(choice)
        if self._prunes:
            self.mask.assign(kept)
        self.step.assign(ops.convert_to_tensor(self.step) + 1)
        return y

    def _deployed(self, x: Any, choice: Any, kept: Any) -> Any:
        """The chosen width of the kept ``x``."""
        if self._prunes:
            x = ops.where(kept, x, 0.0 * ops.convert_to_tensor(self.unit))  # NaN until calibrated
        return gradients.multiples(x, *self._level(x, choice))

    def _averaged(self, x: Any, choice: Any, kept: Any) -> Any:
        """The average over all widths of ``x`` times its gates, whose price is added to the loss."""
        snapped = ops.convert_to_tensor(self.step) >= self.snap_step
        temperature = ops.exp(math.log(HARDEST) * ops.maximum(0.0, 1.5 * self.progress - 0.5))
        shares = ops.where(snapped, ops.one_hot(choice, len(self.bits)), self._shares(temperature))
        reach = self._reach(x)  # of the weights before they meet the gates, as at inference
        cost = self.bit_penalty * self._count(x) * ops.sum(shares * np.array(self.bits, np.float32))
        if self._prunes:
            soft = edges.mask(x, self._alpha(x), self._beta(temperature))
            gates = ops.where(snapped, ops.cast(kept, "float32"), soft)
            cost, x = cost + self.kept_penalty * ops.sum(gates), x * gates
        self.add_loss(cost * ops.minimum(1.0, 3.0 * self.progress))
        return average(x, shares, reach, self._codes, clips=not self._prunes, sample=1 if self._prunes else SAMPLE)

    def _shares(self, temperature: Any) -> Any:
        """p, one per width."""
        logits = temperature * SPEED * ops.convert_to_tensor(self.logits)
        return ops.exp(logits - ops.logsumexp(logits))

    def _level(self, x: Any, choice: Any) -> list[Any]:
        """Step, lowest and highest code of one width."""
        columns = zip(*((1 / grid.high, grid.low, grid.high) for grid in self._codes), strict=True)
        share, low, high = (ops.take(ops.convert_to_tensor(column, "float32"), choice) for column in columns)
        return [self._reach(x) * share, low, high]

    def _count(self, x: Any) -> Any:
        """Weights, or values per example."""
        return ops.cast(math.prod(ops.shape(x)[0 if self._prunes else 1 :]), "float32")

    def _reach(self, x: Any) -> Any:
        """What the highest code stands for: the largest of the weights ``x``, or the moving range of the map."""
        return self._largest(x) if self._prunes else ops.convert_to_tensor(self.reach)

    def _largest(self, x: Any) -> Any:
        x = ops.stop_gradient(x)
        x = x if self.signed is False else ops.abs(x)
        return ops.maximum(ops.max(x, axis=other_axes(len(x.shape), self.axis), keepdims=True), TINY)

    def _move(self, x: Any) -> None:
        """Moves the range of a map."""
        momentum, old, seen = self.momentum or 0.99, ops.convert_to_tensor(self.reach), self._largest(x)
        self.reach.assign(ops.where(ops.isnan(old), seen, momentum * old + (1 - momentum) * seen))

    def grid(self, x: Any) -> Grid:
        """The grid of the chosen width.

        Raises:
            ValueError: Neither ``calibrate`` nor a training batch has set the range.
        """
        codes = self._codes[int(self.chosen)]
        scale = ops.convert_to_numpy(self._level(ops.convert_to_tensor(x, "float32"), self.chosen)[0])
        require_calibrated(self, ops.convert_to_numpy(self.measured))
        return Grid(scale, codes.bits, signed=codes.signed, narrow_range=codes.narrow_range)

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        names = ("snap_step", "bits", "kept_penalty", "bit_penalty", "begin_step")
        slot = ("axis", "signed", "narrow_range", "momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in (*names, *slot)}}
