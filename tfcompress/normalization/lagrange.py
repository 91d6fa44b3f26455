r"""Normalisation for batches of 8 and less, down to 1: by Lagrange multipliers in training, by nothing at inference.

Batch normalisation divides by what it measures in a batch, and in a small batch it measures noise. Here nothing is
divided. The feature map has to become normal because the loss asks for it, more and more loudly:

    m = mean(x),    s = mean((x - m)**2)                               over a whole batch, or for each channel
    c1 = m**2,      c2 = (s - T)**2    or    (log s - log T)**2
    loss    += lambda_1 * c1 + lambda_2 * c2                           the mean over the channels, where there are many
    descent     the weights of the network; T = target * exp(t), if it is learned
    ascent      lambda_k <- min(lambda_k + rate * c_k, limit),         since dL/dlambda_k = c_k
    inference   y = x

The gradients are the true ones: ``dc1/dx = 2 m / n`` and ``dc2/dx = 4 (s - T) (x - m) / n``, over n elements. As the
constraints are squares, multipliers never fall; at the limit they stop.

``c2`` is of fourth degree in the scale of ``x``: initialise such that variances start between about 0.1 and 10
(``he_normal`` before a ReLU), clip the norm of the gradient (``keras.optimizers.SGD(..., global_clipnorm=5)``), or
take the logarithm.

Reference: W. Deng, "Normalization method for training deep neural networks", Samsung, US11645535B2, 2023,
https://patents.google.com/patent/US11645535B2. Differs from the source in what its claims leave open: the ascent, its
rate and its limit; the form of T; and in choices of its own: one mean and variance a layer, which the claims have for
each channel; the mean over the channels in place of their sum; the logarithm.
"""

import math
from typing import Any

import keras
from keras import ops

from tfcompress.pass_through import PassThrough

AXES = ("layer", "channel")


def moments(x: Any, axis: str = "layer") -> tuple[Any, Any]:
    """Mean and variance of a batch, float32: of all elements (scalars), or of each channel, the last axis."""
    x = ops.cast(x, "float32")
    over = None if axis == "layer" else list(range(len(x.shape) - 1))
    mean = ops.mean(x, axis=over)
    return mean, ops.mean(ops.square(x - mean), axis=over)


def violations(mean: Any, variance: Any, target: Any = 1.0, log: bool = False) -> tuple[Any, Any]:
    """c1 and c2: how far mean and variance (scalars, or one per channel) are from 0 and from ``target``."""
    excess = ops.log(ops.maximum(variance, TINY)) - ops.log(target) if log else variance - target
    return ops.square(mean), ops.square(excess)


TINY = 1e-12
"""Least variance whose logarithm is taken."""


@keras.saving.register_keras_serializable("tfcompress")
class LagrangeNormalization(PassThrough):
    """Drives mean and variance of a feature map to 0 and ``target`` while training; does nothing at inference.

    It stands behind a convolution or Dense layer, in front of the activation, where BatchNormalization would; not
    behind the last layer. It exports to nothing, and no batch is too small. The statistics are those of one replica.

    Args:
        axis: ``"layer"`` (default), one mean and variance of the whole feature map; or ``"channel"``, of each channel,
            for feature maps with positions.
        target: The variance to reach, above 0; where it starts, if it is learned. Default 1.
        learn_target: Whether the optimizer may move the target.
        log: Compares the logarithms of the variances, which works from any scale on.
        rate: By how much a multiplier grows in a step, per unit of its constraint. Default 2e-3.
        initial: Both multipliers at the start. 0, with ``rate=0``, switches the layer off. Default 0.01.
        limit: Largest multiplier. Default 10.

    Raises:
        ValueError: An argument is out of range, or (when built) channels have one position only.
    """

    def __init__(
        self,
        axis: str = "layer",
        target: float = 1.0,
        learn_target: bool = False,
        log: bool = False,
        rate: float = 2e-3,
        initial: float = 0.01,
        limit: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if axis not in AXES:
            raise ValueError(f"`axis` must be one of {AXES}. Received: axis={axis!r}")
        if not target > 0:
            raise ValueError(f"`target` must be above 0. Received: target={target}")
        if not (rate >= 0 and 0 <= initial <= limit):
            received = f"rate={rate}, initial={initial}, limit={limit}"
            raise ValueError(f"`rate` must be at least 0 and `initial` from 0 to `limit`. Received: {received}")
        self.axis, self.target, self.learn_target, self.log = axis, target, learn_target, log
        self.rate, self.initial, self.limit = rate, initial, limit

    def build(self, input_shape: Any) -> None:
        """Creates the multipliers and, if it is learned, the logarithm of the target in units of ``target``."""
        positions = tuple(input_shape)[1:-1]
        if self.axis == "channel" and (None not in positions) and math.prod(positions) == 1:
            raise ValueError(
                f"LagrangeNormalization '{self.name}' with axis='channel' must be on a feature map with positions: a "
                "channel that is one number has no variance in a batch of 1. "
                f"Received: shape {tuple(input_shape)}. Use axis='layer'"
            )
        shape, start = input_shape[-1:] if self.axis == "channel" else (), keras.initializers.Constant(self.initial)
        options = {"shape": shape, "initializer": start, "trainable": False, "aggregation": "mean"}
        self.mean_multiplier = self.add_weight(name="mean_multiplier", **options)
        self.variance_multiplier = self.add_weight(name="variance_multiplier", **options)
        if self.learn_target:
            self.log_target = self.add_weight(shape=(), initializer="zeros", name="log_target")

    @property
    def current_target(self) -> Any:
        """The variance to reach, float32 scalar."""
        growth = ops.exp(ops.convert_to_tensor(self.log_target)) if self.learn_target else 1.0
        return ops.convert_to_tensor(self.target, "float32") * growth

    def observe(self, x: Any) -> None:
        """One term of the loss and one step of the ascent."""
        found = violations(*moments(x, self.axis), self.current_target, self.log)
        multipliers = self.mean_multiplier, self.variance_multiplier
        for multiplier, violation in zip(multipliers, found, strict=True):
            now = ops.convert_to_tensor(multiplier)
            self.add_loss(ops.mean(now * violation))
            multiplier.assign(ops.minimum(now + self.rate * ops.stop_gradient(violation), self.limit))

    def get_config(self) -> dict[str, Any]:
        """Configuration."""
        names = ("axis", "target", "learn_target", "log", "rate", "initial", "limit")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
