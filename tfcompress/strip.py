"""Turns a compressed model into an ordinary Keras model."""

from typing import Any

import keras

from tfcompress.channel_affine import ChannelAffine
from tfcompress.compressed import Compressed, deployed
from tfcompress.convolution.winograd import WinogradConv2D
from tfcompress.pass_through import PassThrough
from tfcompress.structure import slots
from tfcompress.structure.groups import core
from tfcompress.structure.rebuild import SKIP, clone, rebuild
from tfcompress.transform import Transform


def strip(model: keras.Model, keep_outputs: bool = False) -> keras.Model:
    """Returns a copy of ``model`` whose layers hold the deployed weights; nothing in it needs tfcompress.

    The weights are bit for bit those that the compressed layers use at ``training=False`` (law L0), so the model
    predicts the same wherever no output transform was in the way.

    Args:
        model: What ``compress`` returned; a plain model is copied.
        keep_outputs: Keeps the output transforms, which are layers of tfcompress. Without them the feature maps are
            no longer rounded, and predictions differ from the compressed model's by that rounding.

    Returns:
        A new model, to be compiled.

    Raises:
        ValueError: The model's graph cannot be read.
    """

    def plain(layer: Any, path: str) -> Any:
        if isinstance(layer, PassThrough) or (isinstance(layer, Transform) and not keep_outputs):
            return SKIP
        made = _plain(layer) if isinstance(layer, Compressed) else None
        if isinstance(core(layer), WinogradConv2D):
            return (made or layer).to_conv2d()
        return _rescaling(made or layer) if isinstance(core(layer), ChannelAffine) else made

    return rebuild(model, plain)


def _plain(layer: Compressed) -> keras.layers.Layer:
    """A copy of the wrapped layer with its deployed weights."""
    twin = clone(layer.layer)
    for slot in layer.transforms:
        slots.weight(twin, slot).assign(deployed(layer, slot)[0])
    return twin


def _rescaling(layer: ChannelAffine) -> keras.layers.Layer:
    """The factors and offsets of a layer's inference, as numbers."""
    rank = len(layer.get_build_config()["input_shape"])
    shape = [-1] + [1] * (rank - 1 - layer.axis % rank)
    factor, offset = (numbers.reshape(shape).tolist() for numbers in (layer.factor, layer.offset))
    return keras.layers.Rescaling(factor, offset, name=layer.name, dtype=layer.dtype_policy)
