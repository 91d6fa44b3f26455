"""BatchNormalization, Normalization and Rescaling: one multiplication and one addition per channel.

Passes fold them away where a linear op stands in front. UnitNormalization is an op of its own.
"""

import math

import keras
import numpy as np

from tfcompress.compressed import deployed
from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.shapes import reshape_to

MOST_AXES = 4
"""Dimensions of tensors that L2_NORMALIZATION takes."""


def batch_normalization(builder: Builder, call: Call, x: int) -> int:
    """``y = (x - mean) * gamma / sqrt(variance + epsilon) + beta`` with the moving statistics."""
    layer = core(call.layer)
    if layer.axis not in (-1, len(builder.shape(x)) - 1):
        raise Unsupported(f"axis={layer.axis}; supported is the last axis, -1")
    mean, variance = (np.asarray(v, np.float64) for v in (layer.moving_mean, layer.moving_variance))
    gamma = deployed(call.layer, "gamma")[0].astype(np.float64) if layer.scale else np.ones_like(mean)
    beta = deployed(call.layer, "beta")[0].astype(np.float64) if layer.center else np.zeros_like(mean)
    factor = gamma / np.sqrt(variance + layer.epsilon)
    return affine(builder, x, factor, beta - mean * factor, call.outputs[0].name)


def channel_affine(builder: Builder, call: Call, x: int) -> int:
    """``y = x * factor + offset``, as the layer says."""
    layer = core(call.layer)
    if layer.axis not in (-1, len(builder.shape(x)) - 1):
        raise Unsupported(f"axis={layer.axis}; supported is the last axis, -1")
    return affine(builder, x, layer.factor.astype(np.float64), layer.offset.astype(np.float64), call.outputs[0].name)


def rescaling(builder: Builder, call: Call, x: int) -> int:
    """``y = x * scale + offset``."""
    layer, channels = core(call.layer), builder.shape(x)[-1]
    try:
        factor, offset = (np.broadcast_to(np.asarray(v, np.float64), (channels,)) for v in (layer.scale, layer.offset))
    except ValueError:
        raise Unsupported(
            f"scale={layer.scale}, offset={layer.offset}; supported are numbers and lists of {channels}, one a channel"
        ) from None
    return affine(builder, x, factor, offset, call.outputs[0].name)


def constant_gate(builder: Builder, call: Call, x: int) -> int:
    """``y = x * factor``, zero for the channels that the gate holds closed."""
    factor = core(call.layer).factor.astype(np.float64)
    return affine(builder, x, factor, np.zeros_like(factor), call.outputs[0].name)


def normalization(builder: Builder, call: Call, x: int) -> int:
    """``y = (x - mean) / max(sqrt(variance), epsilon)`` with the statistics that ``adapt`` found; or its inverse."""
    layer, channels = core(call.layer), builder.shape(x)[-1]
    if layer.mean is None or np.size(layer.mean) not in (1, channels):
        raise Unsupported(f"axis={layer.axis}, not adapted or with more statistics than channels; supported is axis=-1")
    mean, variance = (np.ravel(np.asarray(v, np.float64)) for v in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    factor, offset = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    return affine(builder, x, factor + np.zeros(channels), offset + np.zeros(channels), call.outputs[0].name)


def unit_normalization(builder: Builder, call: Call, x: int) -> int:
    """``y = x / |x|`` along the last axis; ``structure/expand.py`` brings others there."""
    axes, shape, name = keras.tree.flatten(core(call.layer).axis), builder.shape(x), call.outputs[0].name
    if [axis % len(shape) for axis in axes] != [len(shape) - 1]:
        raise Unsupported(f"axis={core(call.layer).axis}; supported are one axis, or the last ones, but not the batch")
    if len(shape) <= MOST_AXES:
        return builder.emit("L2_NORMALIZATION", (x,), name, shape, fused_activation_function="NONE")
    rows = reshape_to(builder, x, f"{name}/rows", (shape[0], math.prod(shape[1:-1]), shape[-1]))
    y = builder.emit(
        "L2_NORMALIZATION", (rows,), f"{name}/image", builder.shape(rows), fused_activation_function="NONE"
    )
    return reshape_to(builder, y, name, shape)


def affine(builder: Builder, x: int, factor: np.ndarray, offset: np.ndarray, name: str) -> int:
    """``x * factor + offset``, each only where it does something."""
    shape, steps = builder.shape(x), []
    if np.any(factor != 1) or not np.any(offset):
        steps.append(("MUL", "factor", factor))
    if np.any(offset):
        steps.append(("ADD", "offset", offset))
    for k, (kind, slot, values) in enumerate(steps, 1):
        operand = builder.constant(f"{name}/{slot}", values.astype(np.float32))
        result = name if k == len(steps) else f"{name}/scaled"
        x = builder.emit(kind, (x, operand), result, shape, fused_activation_function="NONE")
    return x
