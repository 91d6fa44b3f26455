"""Convolutions, plain, depthwise and transposed; those over lines are convolutions over images of one row.

SeparableConv1D and 2D were expanded into a depthwise and a plain one.
"""

from typing import Any

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.activation import activate
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.checks import channels_last
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.reshape import pad
from tflite_export.from_keras.shapes import along, as_image, from_image, image_name, image_shape


def conv(builder: Builder, call: Call, x: int) -> int:
    """Kernel ``(h, w, in / groups, out)`` becomes ``(out, h, w, in / groups)``; a group per channel is depthwise."""
    layer, depth = channels_last(core(call.layer)), builder.shape(x)[-1]
    if layer.groups == depth > 1:
        kernel = builder.weight(call, "kernel", 3, lambda k: _image(k).transpose(2, 0, 1, 3))
        options = {"depth_multiplier": layer.filters // depth}
        x = _causal(builder, call, x)
        return _convolution(builder, call, "DEPTHWISE_CONV_2D", x, kernel, layer.filters, options)
    kernel = builder.weight(call, "kernel", 0, lambda k: _image(k).transpose(3, 0, 1, 2))
    return _convolution(builder, call, "CONV_2D", _causal(builder, call, x), kernel, layer.filters, {})


def depthwise_conv(builder: Builder, call: Call, x: int) -> int:
    """Kernel ``(h, w, in, multiplier)`` becomes ``(1, h, w, in * multiplier)``."""
    layer = channels_last(core(call.layer))
    channels = builder.shape(x)[-1] * layer.depth_multiplier
    kernel = builder.weight(call, "kernel", 3, lambda k: _image(k).reshape(1, *_image(k).shape[:2], -1))
    options = {"depth_multiplier": layer.depth_multiplier}
    x = _causal(builder, call, x)
    return _convolution(builder, call, "DEPTHWISE_CONV_2D", x, kernel, channels, options)


def conv_transpose(builder: Builder, call: Call, x: int) -> int:
    """Kernel ``(h, w, out, in)`` becomes ``(out, h, w, in)``; the shape of the result is an operand."""
    layer, (value,) = channels_last(core(call.layer)), call.outputs
    if layer.output_padding is not None or set(np.ravel(layer.dilation_rate)) != {1}:
        raise Unsupported(
            f"output_padding={layer.output_padding}, dilation_rate={layer.dilation_rate}; supported are None and 1. "
            "UpSampling2D and a Conv2D do what output_padding is for"
        )
    shape = builder.static(value.shape)
    kernel = builder.weight(call, "kernel", 0, lambda k: _image(k).transpose(2, 0, 1, 3))
    target = builder.constant(f"{value.name}/output_shape", np.array(image_shape(shape), np.int32))
    bias = builder.bias(call, layer.filters)
    image, linear = as_image(builder, x, value.name), f"{value.name}/linear"
    y = builder.emit(
        "TRANSPOSE_CONV", (target, kernel, image, bias), image_name(linear, shape), image_shape(shape),
        padding=layer.padding.upper(), fused_activation_function="NONE", **_pair("stride", layer.strides),
    )  # fmt: skip
    return activate(builder, layer.activation, from_image(builder, y, linear, shape), value.name)


def _convolution(
    builder: Builder, call: Call, kind: str, x: int, kernel: int, channels: int, options: dict[str, Any]
) -> int:
    layer, (value,) = core(call.layer), call.outputs
    shape, linear = builder.static(value.shape), f"{value.name}/linear"
    y = builder.emit(
        kind,
        (as_image(builder, x, value.name), kernel, builder.bias(call, channels)),
        image_name(linear, shape),
        image_shape(shape),
        padding="SAME" if layer.padding == "same" else "VALID",
        fused_activation_function="NONE",
        **_pair("stride", layer.strides),
        **{f"{key}_factor": size for key, size in _pair("dilation", layer.dilation_rate).items()},
        **options,
    )
    return activate(builder, layer.activation, from_image(builder, y, linear, shape), value.name)


def _causal(builder: Builder, call: Call, x: int) -> int:
    """``x``, with zeros in front where no output may see the future."""
    layer = core(call.layer)
    if layer.padding != "causal":
        return x
    before = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
    return pad(builder, x, f"{call.outputs[0].name}/past", [(before, 0)])


def _image(kernel: np.ndarray) -> np.ndarray:
    """The kernel of a convolution over lines as one over images of one row."""
    return kernel if kernel.ndim == 4 else kernel[None]


def _pair(name: str, sizes: Any) -> dict[str, int]:
    height, width = along(sizes)
    return {f"{name}_h": height, f"{name}_w": width}
