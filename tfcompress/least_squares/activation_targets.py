r"""What should stand in front of an activation for ``y`` to come out behind it.

    T' = p + w * (T - p)

``T`` inverts the activation where it can be inverted. ``p`` is what the layer predicts so far, and ``w`` says how much
its error counts: not at all where a ReLU shall deliver 0 and would already, since every ``p`` below 0 is right there;
little where a sigmoid is flat. Least squares with the targets T', again and again, minimises
``sum w * (T - p)**2`` with the same covariance matrix in every round.

    linear                          T = y                                     w = 1
    relu                            T = y                                     w = 1 where y > 0 or p > 0, else 0
    relu6                           T = y                                     likewise at both ends
    leaky_relu, elu, softplus       T = the inverse of y                      w = 1
    sigmoid, tanh                   T = the inverse of y, clipped by 0.001    w = (slope at y / largest slope)**2
    softmax                         T = log(y) less its mean                  w = 1
    silu, gelu, hard_silu           T = y, for want of an inverse             w = 1
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import activations, layers

Array = np.ndarray
EDGE = 1e-3
"""How near to its bounds a sigmoid or tanh is inverted."""


@dataclass(frozen=True)
class Rule:
    """One activation; rules of one name and slope are equal.

    Attributes:
        name: As Keras calls it.
        slope: Below zero, of a leaky ReLU.
        apply: The activation, NumPy to NumPy.
        inverse: y -> T.
        weight: (y, p) -> w; None where it is always 1.
    """

    name: str
    slope: float = 0.0
    apply: Callable[[Array], Array] = field(default=lambda p: p, compare=False)
    inverse: Callable[[Array], Array] = field(default=lambda y: y, compare=False)
    weight: Callable[[Array, Array], Array] | None = field(default=None, compare=False)

    def targets(self, y: Array, p: Array) -> Array:
        """T'."""
        w = 1.0 if self.weight is None else self.weight(y, p)
        return p + w * (self.inverse(y) - p)


def _applied(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
    return lambda p: keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(p.astype(np.float32))))


def _relu_weight(y: Array, p: Array) -> Array:
    return (y > 0) | (p > 0)


def _relu6_weight(y: Array, p: Array) -> Array:
    return ((y > 0) | (p > 0)) & ((y < 6) | (p < 6))


def _logit(y: Array) -> Array:
    y = np.clip(y, EDGE, 1 - EDGE)
    return np.log(y) - np.log1p(-y)


def _log_shares(y: Array) -> Array:
    logs = np.log(np.clip(y, 1e-6, None)).reshape(len(y), -1)  # over all outputs, whatever the blocks
    return (logs - logs.mean(axis=1, keepdims=True)).reshape(y.shape)


def _elu_inverse(y: Array) -> Array:
    return np.where(y < 0, np.log1p(np.clip(y, EDGE - 1, 0)), y)


LINEAR = Rule("linear")
RELU = Rule("relu", apply=lambda p: np.maximum(p, 0), weight=_relu_weight)
RELU6 = Rule("relu6", apply=lambda p: np.clip(p, 0, 6), weight=_relu6_weight)

RULES: dict[Callable[..., Any], Rule] = {
    activations.linear: LINEAR,
    activations.relu: RELU,
    activations.relu6: RELU6,
    activations.elu: Rule("elu", apply=_applied(activations.elu), inverse=_elu_inverse),
    activations.softplus: Rule(
        "softplus", apply=_applied(activations.softplus), inverse=lambda y: np.log(np.expm1(np.maximum(y, EDGE)))
    ),
    activations.sigmoid: Rule(
        "sigmoid", apply=_applied(activations.sigmoid), inverse=_logit, weight=lambda y, p: (4 * y * (1 - y)) ** 2
    ),
    activations.tanh: Rule(
        "tanh", apply=np.tanh, inverse=lambda y: np.arctanh(np.clip(y, EDGE - 1, 1 - EDGE)),
        weight=lambda y, p: (1 - y**2) ** 2,
    ),
    activations.softmax: Rule("softmax", apply=_applied(activations.softmax), inverse=_log_shares),
    activations.silu: Rule("silu", apply=_applied(activations.silu)),
    activations.gelu: Rule("gelu", apply=_applied(activations.gelu)),
    activations.hard_silu: Rule("hard_silu", apply=_applied(activations.hard_silu)),
}  # fmt: skip
"""Activation function -> its rule."""


def leaky(slope: float) -> Rule:
    """The rule of a leaky ReLU of positive slope."""
    return Rule(
        "leaky_relu",
        slope,
        apply=lambda p: np.where(p < 0, slope * p, p),
        inverse=lambda y: np.where(y < 0, y / slope, y),
    )


ALONE = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax)
"""Layers that are an activation and nothing else."""


def rule(layer: Any) -> Rule | None:
    """The rule of what ``layer`` does last; None if it has none."""
    if isinstance(layer, layers.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        return {None: RELU, 6: RELU6}.get(layer.max_value) if plain else None
    if isinstance(layer, layers.LeakyReLU):
        return leaky(layer.negative_slope) if layer.negative_slope > 0 else RELU
    if isinstance(layer, layers.PReLU):  # all of its slopes are equal before it is trained
        return _prelu(layer)
    if isinstance(layer, layers.ELU):
        return RULES[activations.elu] if layer.alpha == 1 else None
    if isinstance(layer, layers.Softmax):
        return RULES[activations.softmax] if layer.axis in (-1,) else None
    function = getattr(layer, "activation", None)
    if function is activations.leaky_relu:
        return leaky(0.2)
    return LINEAR if function is None else RULES.get(function)


def _prelu(layer: layers.PReLU) -> Rule | None:
    slopes = np.unique(keras.ops.convert_to_numpy(layer.alpha))
    if len(slopes) > 1 or slopes[0] < 0:
        return None
    return leaky(float(slopes[0])) if slopes[0] else RELU
