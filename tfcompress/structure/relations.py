"""How the channels of what a layer delivers follow from the channels of what it gets.

Channels are the places on the last axis. There are three kinds of layers:

    FOLLOWING   each channel of the output holds what came in over certain channels of the input. A relation takes one
                array per input, with one entry per channel, and returns the entries that meet in each output channel:
                shape (how many meet, output channels). Batch norm: themselves. Concatenate: one after the other.
                Flatten: again and again. Add: those of all terms meet.
    MIXING      each output channel is a sum over all input channels: output channels are new (``mixing.py``)
    all others  use their channels in a way that is not known, so that none of them can be removed
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from tfcompress.channel_affine import ChannelAffine
from tfcompress.channel_switch import ChannelSwitch
from tfcompress.constant_gate import ConstantGate
from tfcompress.pass_through import PassThrough
from tfcompress.structure.groups import IDENTITY, core
from tfcompress.structure.trace import Call
from tfcompress.transform import Transform


class Unknown(ValueError):
    """Channels are used in a way that does not let any of them be removed; the message says how."""


Relation = Callable[[Call, Sequence[np.ndarray]], np.ndarray]


def follows(call: Call) -> Relation | None:
    """The relation of a call's layer; None if its output channels do not follow from the input's."""
    layer = core(call.layer)
    if isinstance(layer, ChannelAffine):
        return normalized
    if isinstance(layer, ChannelSwitch):
        return met
    return same if isinstance(layer, (Transform, ConstantGate, PassThrough)) else FOLLOWING.get(type(layer))


def same(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """Channel c comes from channel c."""
    return entries[0][None]


def activated(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """Channel c comes from channel c, if the activation works on each number by itself."""
    check_activation(core(call.layer))
    return entries[0][None]


def normalized(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """Channel c comes from channel c, if channels are what is normalised."""
    layer, rank = core(call.layer), len(call.inputs[0].shape)
    if layer.axis not in (-1, rank - 1):
        raise Unknown(f"normalises axis {layer.axis}, not the channels")
    return entries[0][None]


def multiplied(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """A depthwise convolution makes ``depth_multiplier`` channels next to each other from each channel."""
    layer = core(call.layer)
    check_format(layer)
    check_activation(layer)
    return np.repeat(entries[0], layer.depth_multiplier)[None]


def windowed(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """Channel c comes from channel c, at other positions."""
    check_format(core(call.layer))
    return entries[0][None]


def met(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """Channel c comes from channel c of every input; one channel for all is not tied to any."""
    width = max(map(len, entries))
    return np.stack([e for e in entries if len(e) == width])


def joined(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """One input after the other; along another axis than the channels, they meet."""
    last = core(call.layer).axis in (-1, len(call.inputs[0].shape) - 1)
    return np.concatenate(entries)[None] if last else np.stack(list(entries))


def rearranged(call: Call, entries: Sequence[np.ndarray]) -> np.ndarray:
    """The channels of all positions, read in order and cut into rows of the new number of channels."""
    check_format(core(call.layer))
    old, new = call.inputs[0].shape[1:], call.outputs[0].shape[1:]
    if old and new and old[-1] == new[-1]:
        return entries[0][None]
    if None in old or None in new:
        raise Unknown(f"rearranges a tensor whose shape {old} is not fixed")
    positions = math.prod(old[:-1])  # type: ignore[arg-type]
    return np.tile(entries[0], positions).reshape(-1, new[-1])  # type: ignore[arg-type]


def check_format(layer: Any) -> None:
    """Channels are last."""
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        raise Unknown("has channels on another axis than the last")


def check_activation(layer: Any) -> None:
    """The activation of a layer works on each number by itself."""
    function = layer.activation or keras.activations.linear
    name = getattr(function, "__name__", str(function))
    if name in ("softmax", "log_softmax", "sparsemax", "glu"):
        raise Unknown(f"ends in {name}, which mixes channels")
    if getattr(keras.activations, name, None) is not function:
        raise Unknown(f"ends in {name}, an activation that is not of Keras")


WINDOWS = (
    layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D,
    layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
    layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping1D, layers.Cropping2D, layers.UpSampling1D,
    layers.UpSampling2D, layers.Resizing,
)  # fmt: skip
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
MERGING = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)

FOLLOWING: dict[type, Relation] = {
    **dict.fromkeys(IDENTITY, same),
    **dict.fromkeys((layers.ReLU, layers.LeakyReLU, layers.ELU, layers.PReLU), same),
    **dict.fromkeys((layers.Rescaling, layers.RepeatVector), same),
    layers.Activation: activated,
    layers.BatchNormalization: normalized,
    **dict.fromkeys(WINDOWS, windowed),
    **dict.fromkeys(DEPTHWISE, multiplied),
    **dict.fromkeys(MERGING, met),
    layers.Concatenate: joined,
    **dict.fromkeys((layers.Flatten, layers.Reshape), rearranged),
}
"""Layer -> relation, by exact type: a subclass may compute something else."""
