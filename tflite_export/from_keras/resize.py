"""UpSampling1D, UpSampling2D, RepeatVector and Resizing, by RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR."""

import numpy as np

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.checks import channels_last
from tflite_export.from_keras.grids import Unsupported
from tflite_export.from_keras.shapes import as_image, from_image, image_name, image_shape, reshape_to

KINDS = {"nearest": "RESIZE_NEAREST_NEIGHBOR", "bilinear": "RESIZE_BILINEAR"}


def up_sampling_1d(builder: Builder, call: Call, x: int) -> int:
    """UpSampling1D repeats every step."""
    return _resized(builder, call, x, "nearest")


def repeat_vector(builder: Builder, call: Call, x: int) -> int:
    """RepeatVector: a line of one step, repeated."""
    samples, channels = builder.shape(x)
    line = reshape_to(builder, x, f"{call.outputs[0].name}/step", (samples, 1, channels))
    return _resized(builder, call, line, "nearest")


def up_sampling_2d(builder: Builder, call: Call, x: int) -> int:
    """UpSampling2D."""
    return _resized(builder, call, x, channels_last(core(call.layer)).interpolation)


def resizing(builder: Builder, call: Call, x: int) -> int:
    """Resizing to a fixed size, distorted if need be."""
    layer = channels_last(core(call.layer))
    for name in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        if getattr(layer, name, False):
            raise Unsupported(f"{name}=True; supported is False")
    return _resized(builder, call, x, layer.interpolation)


def _resized(builder: Builder, call: Call, x: int, interpolation: str) -> int:
    (value,) = call.outputs
    if interpolation not in KINDS:
        raise Unsupported(f"interpolation='{interpolation}'; supported are {', '.join(KINDS)}")
    shape = builder.static(value.shape)
    image, name = as_image(builder, x, value.name), image_name(value.name, shape)
    size = builder.constant(f"{value.name}/size", np.array(image_shape(shape)[1:3], np.int32))
    options = {"align_corners": False, "half_pixel_centers": True}
    y = builder.emit(KINDS[interpolation], (image, size), name, image_shape(shape), **options)
    return from_image(builder, y, value.name, shape)
