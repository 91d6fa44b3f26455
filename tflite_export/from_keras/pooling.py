"""Pooling: windows by MAX_POOL_2D and AVERAGE_POOL_2D, global averages by MEAN."""

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder, static
from tflite_export.from_keras.checks import channels_last


def max_pooling_2d(builder: Builder, call: Call, x: int) -> int:
    """MaxPooling2D."""
    return _windows(builder, call, "MAX_POOL_2D", x)


def average_pooling_2d(builder: Builder, call: Call, x: int) -> int:
    """AveragePooling2D; like Keras, TFLite averages over the part of a window that lies in the image."""
    return _windows(builder, call, "AVERAGE_POOL_2D", x)


def global_average_pooling_2d(builder: Builder, call: Call, x: int) -> int:
    """GlobalAveragePooling2D, by MEAN, which may rescale."""
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    axes = builder.constant(f"{value.name}/axes", np.array([1, 2], np.int32))
    return builder.emit("MEAN", (x, axes), value.name, static(value.shape), keep_dims=layer.keepdims)


def global_max_pooling_2d(builder: Builder, call: Call, x: int) -> int:
    """GlobalMaxPooling2D, by one window as large as the image."""
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    _, height, width, channels = builder.shape(x)
    name = value.name if layer.keepdims else f"{value.name}/window"
    y = _pool(builder, "MAX_POOL_2D", x, name, (1, 1, 1, channels), (height, width), (1, 1), "VALID")
    return y if layer.keepdims else reshape_to(builder, y, value.name, static(value.shape))


def reshape_to(builder: Builder, x: int, name: str, shape: tuple[int, ...]) -> int:
    """Appends a RESHAPE; the shape stands in the options and in an operand, as TFLite wants it."""
    operand = builder.constant(f"{name}/shape", np.array(shape, np.int32))
    return builder.emit("RESHAPE", (x, operand), name, shape, new_shape=shape)


def _windows(builder: Builder, call: Call, kind: str, x: int) -> int:
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    return _pool(
        builder, kind, x, value.name, static(value.shape), layer.pool_size, layer.strides, layer.padding.upper()
    )


def _pool(
    builder: Builder, kind: str, x: int, name: str, shape: tuple[int, ...], window: tuple[int, int],
    strides: tuple[int, int], padding: str,
) -> int:  # fmt: skip
    return builder.emit(
        kind, (x,), name, shape, padding=padding, filter_height=window[0], filter_width=window[1],
        stride_h=strides[0], stride_w=strides[1], fused_activation_function="NONE",
    )  # fmt: skip
