"""RESHAPE, and lines of pixels as images of one row, since TFLite's windows slide over images only."""

import numpy as np

from tflite_export.from_keras.builder import Builder


def reshape_to(builder: Builder, x: int, name: str, shape: tuple[int, ...]) -> int:
    """Appends a RESHAPE; the shape stands in the options and in an operand, as TFLite wants it."""
    operand = builder.constant(f"{name}/shape", np.array(shape, np.int32))
    return builder.emit("RESHAPE", (x, operand), name, shape, new_shape=shape)


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(batch, length, channels) as (batch, 1, length, channels); of an image, its own."""
    return shape if len(shape) == 4 else (shape[0], 1, *shape[1:])


def as_image(builder: Builder, x: int, name: str) -> int:
    """``x`` as an image: itself, or behind a RESHAPE that is called after ``name``."""
    shape = builder.shape(x)
    return x if len(shape) == 4 else reshape_to(builder, x, f"{name}/row", image_shape(shape))


def from_image(builder: Builder, y: int, name: str, shape: tuple[int, ...]) -> int:
    """The image ``y`` in ``shape``, called ``name``."""
    return y if builder.shape(y) == shape else reshape_to(builder, y, name, shape)


def image_name(name: str, shape: tuple[int, ...]) -> str:
    """What the image is called that becomes ``name`` of ``shape``."""
    return name if len(shape) == 4 else f"{name}/image"


def along(values: int | tuple[int, ...]) -> tuple[int, int]:
    """A size along rows and columns: of a line, which has one size, 1 along rows."""
    sizes = (values,) if isinstance(values, int) else tuple(values)
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
