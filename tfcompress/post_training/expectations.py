r"""What the channels of a network are in the mean, told by its batch norms without any data.

A batch norm delivers numbers of mean ``beta`` and variance ``gamma^2``, whatever it gets, since training has made it
so. What follows from that, channel by channel:

    ReLU and the like       mean and variance of a normal distribution's positive part (``clipped_normal.py``)
    sums, concatenations    means add up or stand side by side, variances too, as if the terms were independent
    pooling, Flatten        the mean stays; that of a largest value is not known
    convolution, Dense      the mean is the sum over the kernel times the mean of each input; the variance is not known

A NaN says that nothing is known. Reference: as in ``correct_bias.py``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers, ops

from tfcompress.compressed import deployed
from tfcompress.constant_gate import ConstantGate
from tfcompress.post_training.clipped_normal import Moments, clipped, mapped
from tfcompress.structure.groups import IDENTITY, activation_name, core
from tfcompress.structure.mixing import bias, depthwise_matrix, mixing
from tfcompress.structure.operations import as_layers
from tfcompress.structure.relations import DEPTHWISE, Unknown, follows
from tfcompress.structure.taps import seen
from tfcompress.structure.trace import Call, Trace, Value
from tfcompress.transform import Transform


def expectations(trace: Trace, inputs: Mapping[Value, np.ndarray] | None = None) -> dict[Value, Moments]:
    """Mean and variance of each channel of every value.

    Args:
        trace: The model, nested models opened.
        inputs: Means of the model's inputs by channel, where they are known.
    """
    found: dict[Value, Moments] = {}
    for call in as_layers(trace).calls:
        for value in call.outputs:
            nothing = np.full(value.shape[-1] or 1 if value.shape else 1, np.nan)
            known = (inputs or {}).get(value)
            if known is not None:
                found[value] = np.broadcast_to(known, nothing.shape).astype(np.float64), nothing
            else:
                found[value] = _of_call(call, [found[v] for v in call.inputs]) or (nothing, nothing)
    return found


def mean_weights(call: Call) -> np.ndarray:
    """What a mixing or depthwise layer makes, in the mean, of the mean of each input channel: (inputs, outputs)."""
    layer, (value,) = core(call.layer), call.inputs
    share = seen(layer, value, call.outputs[0])
    if mixing(layer):
        return np.asarray(np.tensordot(share, mixing(layer).matrix(call.layer), 1))  # type: ignore[union-attr]
    repeated = np.repeat(np.eye(value.shape[-1] or 1), layer.depth_multiplier, axis=1)
    return np.asarray(repeated * (share @ depthwise_matrix(call.layer)))


def _of_call(call: Call, inputs: Sequence[Moments]) -> Moments | None:
    """The moments of what a call delivers; None where they are not known."""
    layer, relation = core(call.layer), follows(call)
    if mixing(layer) or type(layer) in DEPTHWISE:
        mean = inputs[0][0] @ mean_weights(call) + bias(call.layer)
        return _activated(layer, (mean, np.full(len(mean), np.nan)))
    if relation is None or len(call.outputs) != 1:
        return None
    try:
        means, variances = (relation(call, [moments[k] for moments in inputs]) for k in (0, 1))
    except Unknown:
        return None
    rule = _gated if isinstance(layer, ConstantGate) else RULES.get(type(layer))
    if rule is not None:
        return rule(call, means, variances)
    passes = isinstance(layer, (Transform, *IDENTITY)) or type(layer) in SAME
    if not passes:
        return None
    alike = ((means == means[0]) & (variances == variances[0])).all(axis=0)
    return means.mean(axis=0), np.where(alike, variances[0], np.nan)


def _normalized(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
    layer, ones = core(call.layer), np.ones(means.shape[1])
    gamma = deployed(call.layer, "gamma")[0].astype(np.float64) if layer.scale else ones
    return deployed(call.layer, "beta")[0].astype(np.float64) if layer.center else 0 * ones, gamma**2


def _function(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
    return _activated(core(call.layer), (means[0], variances[0]))


def _activated(layer: Any, x: Moments) -> Moments:
    """Behind an activation, of a layer that has one or is one."""
    name = "other" if isinstance(layer, (layers.LeakyReLU, layers.ELU)) else activation_name(layer)
    if name == "linear":
        return x
    if name != "other":
        return clipped(*x, 0.0, 6.0 if name == "relu6" else np.inf)
    function = getattr(layer, "activation", None) or layer
    return mapped(*x, lambda z: np.asarray(ops.convert_to_numpy(function(ops.cast(z, "float32"))), np.float64))


def _terms(weights: Callable[[int], Sequence[float]]) -> Callable[[Call, np.ndarray, np.ndarray], Moments]:
    """A weighted sum of independent terms."""

    def rule(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
        w = np.array(weights(len(means)))
        return w @ means, w**2 @ variances

    return rule


def _averaged(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
    return means[0], np.full(means.shape[1], np.nan)


def _padded(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
    """The zeros around count."""
    sizes = zip(call.inputs[0].shape[1:-1], call.outputs[0].shape[1:-1])
    share = math.prod(inside / whole if inside and whole else 1.0 for inside, whole in sizes)
    return means[0] * share, np.full(means.shape[1], np.nan)


def _gated(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
    factor = core(call.layer).factor.astype(np.float64)
    return means[0] * factor, variances[0] * factor**2


def _rescaled(call: Call, means: np.ndarray, variances: np.ndarray) -> Moments:
    layer = core(call.layer)
    scale = np.broadcast_to(np.asarray(layer.scale, np.float64).reshape(-1), means[0].shape)
    return means[0] * scale + np.asarray(layer.offset, np.float64).reshape(-1), variances[0] * scale**2


Rule = Callable[[Call, np.ndarray, np.ndarray], Moments]

SAME = (
    layers.Flatten, layers.Reshape, layers.Concatenate, layers.RepeatVector, layers.UpSampling1D, layers.UpSampling2D,
    layers.Cropping1D, layers.Cropping2D,
)  # fmt: skip
"""Layers that move numbers and leave them as they are."""

RULES: dict[type, Rule] = {
    layers.BatchNormalization: _normalized,
    **dict.fromkeys((layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Activation), _function),
    layers.Add: _terms(lambda n: [1.0] * n),
    layers.Subtract: _terms(lambda n: [1.0, -1.0]),
    layers.Average: _terms(lambda n: [1 / n] * n),
    **dict.fromkeys((layers.AveragePooling1D, layers.AveragePooling2D), _averaged),
    **dict.fromkeys((layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D), _averaged),
    **dict.fromkeys((layers.ZeroPadding1D, layers.ZeroPadding2D), _padded),
    layers.Rescaling: _rescaled,
}
