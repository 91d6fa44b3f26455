"""Layers that move numbers about: Flatten, Reshape, ZeroPadding2D."""

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder, static
from tflite_export.from_keras.checks import channels_last
from tflite_export.from_keras.pooling import reshape_to


def flatten(builder: Builder, call: Call, x: int) -> int:
    """Flatten: one dimension beside the batch."""
    if len(builder.shape(x)) > 2:
        channels_last(core(call.layer))
    return reshape(builder, call, x)


def reshape(builder: Builder, call: Call, x: int) -> int:
    """Reshape to the shape that Keras found."""
    (value,) = call.outputs
    return reshape_to(builder, x, value.name, static(value.shape))


def zero_padding_2d(builder: Builder, call: Call, x: int) -> int:
    """ZeroPadding2D; a pass folds it into a convolution behind it where TFLite's SAME means the same."""
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    amounts = builder.constant(f"{value.name}/paddings", np.array([(0, 0), *layer.padding, (0, 0)], np.int32))
    return builder.emit("PAD", (x, amounts), value.name, static(value.shape))
