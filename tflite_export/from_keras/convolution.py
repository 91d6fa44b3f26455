"""Conv2D -> CONV_2D, DepthwiseConv2D -> DEPTHWISE_CONV_2D. (SeparableConv2D was expanded into the two.)"""

from typing import Any

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.activation import activate
from tflite_export.from_keras.builder import Builder, static
from tflite_export.from_keras.checks import channels_last


def conv_2d(builder: Builder, call: Call, x: int) -> int:
    """Kernel ``(h, w, in / groups, out)`` becomes ``(out, h, w, in / groups)``."""
    layer = channels_last(core(call.layer))
    kernel = builder.weight(call, "kernel", 0, lambda k: k.transpose(3, 0, 1, 2))
    return _convolution(builder, call, "CONV_2D", (x, kernel), layer.filters, {})


def depthwise_conv_2d(builder: Builder, call: Call, x: int) -> int:
    """Kernel ``(h, w, in, multiplier)`` becomes ``(1, h, w, in * multiplier)``."""
    layer = channels_last(core(call.layer))
    channels = builder.shape(x)[-1] * layer.depth_multiplier
    kernel = builder.weight(call, "kernel", 3, lambda k: k.reshape(1, *k.shape[:2], -1))
    options = {"depth_multiplier": layer.depth_multiplier}
    return _convolution(builder, call, "DEPTHWISE_CONV_2D", (x, kernel), channels, options)


def _convolution(
    builder: Builder, call: Call, kind: str, inputs: tuple[int, int], channels: int, options: dict[str, Any]
) -> int:
    layer, (value,) = core(call.layer), call.outputs
    y = builder.emit(
        kind,
        (*inputs, builder.bias(call, channels)),
        f"{value.name}/linear",
        static(value.shape),
        padding=layer.padding.upper(),
        stride_h=layer.strides[0],
        stride_w=layer.strides[1],
        dilation_h_factor=layer.dilation_rate[0],
        dilation_w_factor=layer.dilation_rate[1],
        fused_activation_function="NONE",
        **options,
    )
    return activate(builder, layer.activation, y, value.name)
