r"""Balanced pruning: every group of weights ends with the same number of zeros, so that parallel hardware never waits.

A mask with soft edges (``tfcompress/edges.py``) is counted group by group (``boxes.py``), and a Lagrange
multiplier drives the variance of the counts to zero:

    training     y = w * m,    m = h(w; alpha, beta),    c_g = mean of m over group g    (the soft count, as a share)
                 loss += -lambda * Var_g(c_g) + hold * (mean_g(c_g) - (1 - sparsity))**2
    descent      w, alpha
    ascent       lambda <- max(lambda - rate * Var_g(c_g), -limit),    since dL/dlambda = -Var
    inference    y = w on the k largest magnitudes of each group, else 0
                 k = round(mean over the groups of the count of |w| >= alpha), at least 1

``lambda`` starts at 0 and only falls, so the variance gets more and more expensive. The edges start soft,
``beta = 10 / alpha``, and become sharper by equal factors from step to step, up to ``50 / alpha`` at ``freeze_step``.
There the groups are projected to equal counts for good: the mask stays, ``lambda`` and ``alpha`` rest, and what is
left of the training goes to the weights that are left. Before that step inference projects the weights anew at each
call: what is evaluated or exported is balanced at any time, and a function of weights and state alone. Projection
makes the variance zero whatever training did, so it could hide a constraint that does not work: ``counts`` gives the
counts without it, and the variable ``variance`` that of the soft counts, step by step, and from ``freeze_step`` on
that of the hard ones just before the projection.

What is at the end of an axis and fills no group is pruned by ``alpha`` alone and takes no part in counts and
projection.

All gradients are the true ones, with ``beta`` and ``lambda`` taken as constants. ``alpha = unit * exp(log_width)``:
``unit`` is the ``sparsity``-quantile of the first ``|w|``; ``log_width``, which is learned, starts at 0.

Reference: W. Deng, "Method to Balance Sparsity for Efficient Inference of Deep Neural Networks", Samsung,
US11449756B2, 2022, https://patents.google.com/patent/US11449756B2. Differs from the source in what its claims leave
open: the form of the mask; counts as shares of a group, so that layers compare; the term that holds the sparsity; the
limit of lambda; and the projection.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcompress import edges
from tfcompress.axes import as_axes
from tfcompress.measured import Measured
from tfcompress.pruning import boxes
from tfcompress.transform import require_weight


def penalty(mask: Any, box: Sequence[int], multiplier: Any, hold: float, density: float) -> tuple[Any, Any]:
    """What the soft ``mask`` adds to the loss, and the variance of its counts.

    Args:
        mask: float32, 0 to 1, in the shape of the weight.
        box: Size of a group along each axis.
        multiplier: lambda, float32 scalar, 0 or less.
        hold: Price of the squared distance from ``density``.
        density: Share of weights to stay.
    """
    counts = boxes.mean(mask, box)
    variance = ops.var(counts)
    return hold * ops.square(ops.mean(counts) - density) - multiplier * variance, variance


@keras.saving.register_keras_serializable("tfcompress")
class BalancedPruning(Measured):
    """Prunes every group of weights to the same number of zeros.

    Args:
        sparsity: Fraction of zeros, above 0 and below 1. A term of the loss holds it, so what is delivered may be a
            little off: ``tfcompress.report`` tells.
        freeze_step: Training step at which the edges are sharp, the groups are projected and the mask is frozen. 60 to
            80 % of all steps leaves some for the weights that remain.
        group: What has equal counts: ``"output_channel"`` (default); k, for each k neighbours along the input channels
            (``sparsity=0.5`` and 4 make 2:4); or ``(r, c)``, for tiles of r input by c output channels. In a kernel
            without input channels, see ``depthwise``.
        rate: By how much lambda falls in a step, per unit of variance. None (default) is ``2.5 / (1 - sparsity)**2``.
        limit: Lambda stops at minus this. Default 2000.
        hold: Price of the squared distance from the demanded sparsity, in units of the loss. Default 10.
        sharpness: ``alpha * beta`` at the first step and at ``freeze_step``.
        axis: The axes of the output channels; the input channels are the last other axis. None (default) is decided by
            the slot; none at all, as in an LSTM, is -1.
        depthwise: Whether the weight has no input channels. None (default) is decided by the slot: True for kernels of
            depthwise layers. Groups then go across the channels: one kernel position of all channels, k neighbouring
            channels, or tiles of r channels by c positions.

    Raises:
        ValueError: An argument is out of range, or (when built) the tensor is a feature map or smaller than one group.
    """

    def __init__(
        self,
        sparsity: float,
        freeze_step: int,
        group: boxes.Group = boxes.CHANNEL,
        rate: float | None = None,
        limit: float = 2000.0,
        hold: float = 10.0,
        sharpness: Sequence[float] = (10.0, 50.0),
        axis: int | Sequence[int] | None = None,
        depthwise: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < sparsity < 1:
            raise ValueError(f"`sparsity` must be above 0 and below 1. Received: sparsity={sparsity}")
        if freeze_step < 1:
            raise ValueError(f"`freeze_step` must be at least 1. Received: freeze_step={freeze_step}")
        if min(rate or 0, limit, hold) < 0:
            received = f"rate={rate}, limit={limit}, hold={hold}"
            raise ValueError(f"`rate`, `limit` and `hold` must be at least 0. Received: {received}")
        if len(sharpness) != 2 or min(sharpness) <= 0:
            raise ValueError(f"`sharpness` must be two numbers above 0. Received: sharpness={sharpness}")
        self.sparsity, self.freeze_step, self.group = sparsity, freeze_step, boxes.checked(group)
        self.rate, self.limit, self.hold, self.sharpness = rate, limit, hold, tuple(sharpness)
        self.axis, self.depthwise = as_axes(axis), depthwise

    def build(self, input_shape: Any) -> None:
        """Creates the width (trained), the multiplier, the mask to be frozen, and the step counter."""
        shape = require_weight(self, input_shape)
        axis = self.axis or ((-1,) if len(shape) > 1 else ())
        self.box = boxes.box_of(shape, self.group, axis, bool(self.depthwise), self.name)
        self._warn_of_odd_groups(shape)
        self.unit = self.add_measured("unit")
        self.log_width = self.add_weight(shape=(), initializer="zeros", name="log_width")
        self.multiplier = self.add_state("multiplier")
        self.variance = self.add_state("variance", keras.initializers.Constant(np.nan))
        self.mask = self.add_state("mask", "ones", shape, "bool")
        self.step = self.add_state("step", dtype="int32")

    def _warn_of_odd_groups(self, shape: tuple[int, ...]) -> None:
        size = math.prod(self.box)
        if all(n < 2 * part for n, part in zip(shape, self.box)):
            warnings.warn(
                f"BalancedPruning '{self.name}': a weight of shape {shape} is one group of {size}, with no other to be "
                "balanced with. Use smaller groups, or leave this layer out of the rule.",
                stacklevel=3,
            )
        if size * (1 - self.sparsity) < 1 - 1e-6:
            warnings.warn(
                f"BalancedPruning '{self.name}': a group of {size} weights keeps at least one, so there will be at "
                f"most {1 - 1 / size:.0%} zeros and not {self.sparsity:.0%}. Use groups of "
                f"{math.ceil(1 / (1 - self.sparsity) - 1e-6)} or more.",
                stacklevel=3,
            )

    @property
    def alpha(self) -> Any:
        """Where the edges are: weights of at least this magnitude count."""
        return ops.convert_to_tensor(self.unit) * ops.exp(self.log_width)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Soft mask and penalty in training up to ``freeze_step``; equal counts from there on and at inference."""
        if training:
            return self._train(x)
        frozen = ops.convert_to_tensor(self.step) > self.freeze_step
        mask = ops.cond(frozen, lambda: ops.convert_to_tensor(self.mask), lambda: self._projected(x)[0])
        return ops.where(mask, x, 0.0 * self.alpha)  # NaN where nothing has measured the weights yet

    def _train(self, x: Any) -> Any:
        step = ops.convert_to_tensor(self.step)
        self.measure_once(x)
        soft = edges.mask(x, self.alpha, self._sharpness(step) / ops.stop_gradient(self.alpha))
        searching = step < self.freeze_step
        multiplier = ops.convert_to_tensor(self.multiplier)
        loss, variance = penalty(soft, self.box, multiplier, self.hold, 1 - self.sparsity)
        self.add_loss(ops.where(searching, loss, 0.0))
        rate = 2.5 / (1 - self.sparsity) ** 2 if self.rate is None else self.rate
        lower = ops.maximum(multiplier - rate * ops.stop_gradient(variance), -self.limit)
        self.multiplier.assign(ops.where(searching, lower, multiplier))
        mask = self._freeze_once(x, step, variance)
        self.step.assign(step + 1)
        return x * ops.where(searching, soft, ops.cast(mask, x.dtype))

    def _sharpness(self, step: Any) -> Any:
        first, last = self.sharpness
        progress = ops.minimum(ops.cast(step, "float32") / self.freeze_step, 1.0)
        return first * (last / first) ** progress

    def measure(self, x: Any) -> Any:
        """The magnitude below which ``sparsity`` of ``x`` is; something positive where too many are zero."""
        x = ops.abs(x)
        found, mean = ops.quantile(x, self.sparsity), ops.mean(x)
        return ops.where(found > 0, found, ops.where(mean > 0, mean, 1.0))

    def _freeze_once(self, x: Any, step: Any, soft_variance: Any) -> Any:
        """The frozen mask, made at ``freeze_step``."""
        variance = ops.where(step < self.freeze_step, soft_variance, ops.convert_to_tensor(self.variance))
        now = ops.convert_to_tensor(self.mask), variance
        mask, variance = ops.cond(ops.equal(step, self.freeze_step), lambda: self._projected(x), lambda: now)
        self.mask.assign(mask)
        self.variance.assign(variance)
        return mask

    def _projected(self, x: Any) -> tuple[Any, Any]:
        """The mask with equal counts in all groups, and the variance of the counts, as shares, before."""
        scores = ops.abs(ops.stop_gradient(x))
        reached = scores >= self.alpha
        shares = boxes.mean(ops.cast(reached, "float32"), self.box)
        size = math.prod(self.box)
        count = ops.clip(ops.cast(ops.round(size * ops.mean(shares)), "int32"), 1, size)
        chosen = boxes.largest_of_columns(boxes.to_columns(scores, self.box), count)
        mask = boxes.from_columns(chosen, self.box, x.shape)
        if any(n % part for n, part in zip(x.shape, self.box)):
            grouped = boxes.from_columns(ops.ones_like(chosen), self.box, x.shape)
            mask = ops.where(grouped, mask, reached)
        return mask, ops.var(shares)

    def counts(self, x: Any) -> np.ndarray:
        """How many weights of each group reach the width, before any projection; int, one per group."""
        columns = boxes.to_columns(ops.abs(ops.convert_to_tensor(x)), self.box)
        return np.sum(ops.convert_to_numpy(columns >= self.alpha), axis=0)

    def calibrate(self, x: Any) -> None:
        """Sets the width to the ``sparsity``-quantile of the magnitudes."""
        super().calibrate(x)
        self.log_width.assign(0.0)

    def get_config(self) -> dict[str, Any]:
        """Configuration; None stays None, for the slot to decide."""
        names = ("sparsity", "freeze_step", "group", "rate", "limit", "hold", "sharpness", "axis", "depthwise")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
