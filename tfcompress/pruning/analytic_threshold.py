r"""Analytic threshold: each layer learns a smooth gate with two edges, their distance and their sharpness.

    training     y = w * h(w; alpha, beta),    h = 1 + S(beta * (w - alpha)) - S(beta * (w + alpha)),    S logistic
                 loss += penalty * sum(h) + sharpening(step) * (beta_0 / beta)**2
    inference    y = w * (|w| >= alpha)

Both parameters are learned along with the weights, with the true gradients, see ``edges.py``. That of a weight is
``h + w * dh/dw``: at the edges it pushes weights in or out, and what is well inside the band stays there.

The price of the gates widens the band. Left alone, it softens the edges, too, until a good part of the weights is
half pruned in training, and then differs from what is deployed; ``sharpening`` pays for sharp edges. Sharp edges do not
move any more, since no weight is near them, so it is best raised late: 0 for about the first 60 % of the steps. Even
then, the edges must not become much softer than they were at the start.

``alpha = unit * exp(speed * a)`` and ``beta = exp(speed * b) / unit`` with ``unit = std(w)``, fixed at the start, so
that both are positive and fit weights of any scale, and move by about ``speed`` percent where an optimizer like Adam
moves weights by 0.01. ``alpha`` stays below the largest weights, so that no layer dies; there, only a gradient that
pulls it down gets through.

Reference: US11250325B2, "Self-pruning neural networks for weight parameter reduction", 2022. Differs from the source
in that the formula of h is one that has all properties of the claims, of which the text gives no other; in the two
penalties, for the same reason; in their plain sum over the weights, as in Keras' regularizers; in the logarithmic
storage and in the limits of alpha and beta.
"""

import math
from typing import Any

import keras
from keras import ops

from tfcompress import edges
from tfcompress.constraints import AtLeast
from tfcompress.pruning.soft_pruning import SoftPruning
from tfcompress.schedules import translated

ALPHA, BETA = 0.25, 20.0
"""Where alpha and beta start, in standard deviations of the weights, and in one over them."""

SOFTEST = 10.0
"""The edges never become softer than this, in one over the standard deviation: there would be no time to sharpen."""

LARGEST, SAMPLE = 0.005, 4096
"""alpha stays below this share of the weights, as seen in a sample of about this many."""


def at_most(x: Any, ceiling: Any) -> Any:
    """The smaller of two scalars; above the ceiling, ``x`` gets the gradient that pulls it down, and no other."""

    @ops.custom_gradient
    def forward(x: Any, ceiling: Any) -> Any:
        def backward(upstream: Any) -> Any:
            return ops.where(x > ceiling, ops.maximum(upstream, 0.0), upstream), ops.zeros_like(ceiling)

        return ops.minimum(x, ceiling), backward

    return forward(x, ceiling)


def ceiling(x: Any) -> Any:
    """The magnitude that the ``LARGEST`` share of the weights, at least one of them, reaches."""
    flat = ops.reshape(ops.stop_gradient(x), (-1,))
    sample = ops.abs(flat[:: flat.shape[0] // SAMPLE // 2 * 2 + 1])
    count = -(-flat.shape[0] // (flat.shape[0] // SAMPLE // 2 * 2 + 1))
    return ops.top_k(sample, max(1, int(LARGEST * count)))[0][-1]


@keras.saving.register_keras_serializable("tfcompress")
class AnalyticThreshold(SoftPruning):
    """Prunes weights between two edges whose distance and sharpness are learned.

    Args:
        penalty: Price of one weight that is kept, in units of the loss; at least 0. Try powers of ten: the
            number of zeros follows from price, training and network. Far too high a price makes fewer, since the edges
            rush past the weights and no longer feel any.
        sharpening: Price of soft edges, in units of the loss: a number (default 1), or a function of the step, best a
            ``tfcompress.schedules.Ramp`` from 60 to 80 % of the steps, which leaves more zeros at the same price.
        freeze_step: Training step from which on the mask stays and only the weights that are left are trained, as they
            will be deployed. None (default) is never.
        speed: How much faster than a weight of size 1 the logarithms of alpha and beta move, above 0. Default 10: an
            optimizer like Adam can make the band e times wider in the steps in which its learning rates sum to 0.1.
            Raise it for short trainings at low rates, where a higher price makes no more zeros.

    Raises:
        ValueError: An argument is out of range, or (when built) the tensor is a feature map.
    """

    REMEDY = "Begin with `sharpening` later, make it smaller, or raise `penalty`."

    def __init__(
        self,
        penalty: float = 1e-5,
        sharpening: Any = 1.0,
        freeze_step: int | None = None,
        speed: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(penalty, freeze_step, **kwargs)
        if not speed > 0:
            raise ValueError(f"`speed` must be above 0. Received: speed={speed}")
        if not callable(sharpening) and not sharpening >= 0:
            raise ValueError(f"`sharpening` must be at least 0, or a schedule. Received: sharpening={sharpening}")
        self.sharpening, self.speed = translated(sharpening), speed

    def build(self, input_shape: Any) -> None:
        """Creates ``a`` and ``b``, which are trained."""
        super().build(input_shape)
        start = keras.initializers.Constant
        self.a = self.add_weight(shape=(), initializer=start(math.log(ALPHA) / self.speed), name="a")
        softest = AtLeast(math.log(SOFTEST) / self.speed)
        self.b = self.add_weight(shape=(), initializer=start(math.log(BETA) / self.speed), constraint=softest, name="b")

    def measure(self, x: Any) -> Any:
        """The standard deviation; of equal weights, one tenth of them, and 1 of zeros."""
        spread = ops.maximum(ops.std(x), 0.1 * ops.max(ops.abs(x)))
        return ops.where(spread > 0, spread, 1.0)

    def alpha(self, x: Any) -> Any:
        """Half the distance of the edges."""
        return at_most(
            ops.convert_to_tensor(self.unit) * ops.exp(self.speed * ops.convert_to_tensor(self.a)), ceiling(x)
        )

    @property
    def beta(self) -> Any:
        """The sharpness of the edges."""
        return ops.exp(self.speed * ops.convert_to_tensor(self.b)) / ops.convert_to_tensor(self.unit)

    def soft(self, x: Any, step: Any) -> tuple[Any, Any]:
        """``x`` times its gates; their price, and that of their softness."""
        h = edges.mask(x, self.alpha(x), self.beta)
        softness = ops.square(BETA / ops.exp(self.speed * ops.convert_to_tensor(self.b)))
        coefficient = self.sharpening(step) if callable(self.sharpening) else self.sharpening
        return x * h, self.penalty * ops.sum(h) + coefficient * softness

    def keeps(self, x: Any) -> Any:
        """``|x| >= alpha``."""
        return ops.abs(x) >= self.alpha(x)

    def transition(self, x: Any) -> Any:
        """The share of ``x`` that is half pruned, ``0.05 < h < 0.95``."""
        h = edges.mask(ops.cast(x, "float32"), self.alpha(x), self.beta)
        return ops.mean(ops.cast(ops.logical_and(h > 0.05, h < 0.95), "float32"))

    def calibrate(self, x: Any) -> None:
        """Measures ``x``, the pre-trained weights, and starts with a narrow band."""
        super().calibrate(x)
        self.a.assign(math.log(ALPHA) / self.speed)
        self.b.assign(math.log(BETA) / self.speed)

    def get_config(self) -> dict[str, Any]:
        """Configuration with the schedule serialised."""
        sharpening = self.sharpening
        config = keras.saving.serialize_keras_object(sharpening) if callable(sharpening) else sharpening
        return {**super().get_config(), "sharpening": config, "speed": self.speed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AnalyticThreshold":
        """Rebuilds the schedule, then the transform."""
        if isinstance(config["sharpening"], dict):
            config = {**config, "sharpening": keras.saving.deserialize_keras_object(config["sharpening"])}
        return cls(**config)
