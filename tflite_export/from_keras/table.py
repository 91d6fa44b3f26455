"""Which lowering serves which layer, by exact type: a subclass may compute something else, so it is not its base."""

from collections.abc import Callable

from keras import layers

from tfcompress.structure.groups import IDENTITY
from tflite_export.from_keras import (
    activation,
    border,
    convolution,
    dense,
    merge,
    normalization,
    pooling,
    reshape,
)

Lowering = Callable[..., int]
"""``lowering(builder, call, *inputs)`` appends ops that read the tensors ``inputs``; returns the call's tensor."""

LOWERINGS: dict[type, Lowering] = {
    layers.InputLayer: border.input_layer,
    layers.Conv2D: convolution.conv_2d,
    layers.DepthwiseConv2D: convolution.depthwise_conv_2d,
    layers.Dense: dense.dense,
    layers.BatchNormalization: normalization.batch_normalization,
    layers.Rescaling: normalization.rescaling,
    layers.ReLU: activation.relu,
    layers.Activation: activation.activation,
    layers.Softmax: activation.softmax,
    layers.MaxPooling2D: pooling.max_pooling_2d,
    layers.AveragePooling2D: pooling.average_pooling_2d,
    layers.GlobalAveragePooling2D: pooling.global_average_pooling_2d,
    layers.GlobalMaxPooling2D: pooling.global_max_pooling_2d,
    layers.Add: merge.add,
    layers.Concatenate: merge.concatenate,
    layers.Flatten: reshape.flatten,
    layers.Reshape: reshape.reshape,
    layers.ZeroPadding2D: reshape.zero_padding_2d,
    **dict.fromkeys(IDENTITY, border.identity),
}

MERGING = (layers.Add, layers.Concatenate)
"""Layers that take any number of tensors; InputLayer takes none, every other layer one."""

EXPANDED = (layers.SeparableConv2D,)
"""Supported too: ``structure/expand.py`` opens them before the walk."""
