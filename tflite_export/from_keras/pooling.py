"""Pooling: windows by MAX_POOL_2D and AVERAGE_POOL_2D, global averages by MEAN. Lines are images of one row."""

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.checks import channels_last
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.shapes import along, as_image, from_image, image_name, image_shape


def max_pooling(builder: Builder, call: Call, x: int) -> int:
    """MaxPooling1D and 2D."""
    return _windows(builder, call, "MAX_POOL_2D", x)


def average_pooling(builder: Builder, call: Call, x: int) -> int:
    """AveragePooling1D and 2D; like Keras, TFLite averages over the part of a window that lies in the image."""
    return _windows(builder, call, "AVERAGE_POOL_2D", x)


def global_average_pooling(builder: Builder, call: Call, x: int) -> int:
    """GlobalAveragePooling1D and 2D, by MEAN, which may rescale."""
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    axes = builder.constant(f"{value.name}/axes", np.arange(1, len(builder.shape(x)) - 1, dtype=np.int32))
    return builder.emit("MEAN", (x, axes), value.name, builder.static(value.shape), keep_dims=layer.keepdims)


def mean_operation(builder: Builder, call: Call, x: int) -> int:
    """ops.mean over any axes but the batch."""
    (value,), rank = call.outputs, len(builder.shape(x))
    axes = sorted(axis % rank for axis in (range(rank) if call.layer.axis is None else call.layer.axis))
    if 0 in axes:
        raise Unsupported(f"axis={call.layer.axis}, which holds the batch; supported is every other axis")
    operand = builder.constant(f"{value.name}/axes", np.array(axes, np.int32))
    shape, keep_dims = builder.static(value.shape), bool(call.layer.keepdims)
    return builder.emit("MEAN", (x, operand), value.name, shape, keep_dims=keep_dims)


def global_max_pooling(builder: Builder, call: Call, x: int) -> int:
    """GlobalMaxPooling1D and 2D, by one window as large as the image."""
    _, (value,) = channels_last(core(call.layer)), call.outputs
    image = as_image(builder, x, value.name)
    samples, height, width, channels = builder.shape(image)
    shape, pixels = builder.static(value.shape), (samples, 1, 1, channels)
    name = value.name if shape == pixels else f"{value.name}/window"
    y = _pool(builder, "MAX_POOL_2D", image, name, pixels, (height, width), (1, 1), "VALID")
    return from_image(builder, y, value.name, shape)


def _windows(builder: Builder, call: Call, kind: str, x: int) -> int:
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    shape, window, strides = builder.static(value.shape), along(layer.pool_size), along(layer.strides)
    image, name = as_image(builder, x, value.name), image_name(value.name, shape)
    y = _pool(builder, kind, image, name, image_shape(shape), window, strides, layer.padding.upper())
    return from_image(builder, y, value.name, shape)


def _pool(
    builder: Builder, kind: str, x: int, name: str, shape: tuple[int, ...], window: tuple[int, int],
    strides: tuple[int, int], padding: str,
) -> int:  # fmt: skip
    return builder.emit(
        kind, (x,), name, shape, padding=padding, filter_height=window[0], filter_width=window[1],
        stride_h=strides[0], stride_w=strides[1], fused_activation_function="NONE",
    )  # fmt: skip
