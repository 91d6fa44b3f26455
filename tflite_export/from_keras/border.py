"""Calls without arithmetic: inputs, layers that do nothing at inference, and Transforms on feature maps."""

import numpy as np

from tfcompress.grid import Grid
from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported, activation_grid
from tflite_export.from_keras.shapes import reshape_to


def input_layer(builder: Builder, call: Call) -> int:
    """A model input."""
    (value,) = call.outputs
    return builder.input(value)


def identity(builder: Builder, call: Call, x: int) -> int:
    """A layer that delivers its input at inference: the tensor stands for both Values."""
    return x


def transform(builder: Builder, call: Call, x: int) -> int:
    """A Transform on a feature map: a RESHAPE that moves nothing, onto the grid that the Transform reports."""
    (value,) = call.outputs
    shape = builder.shape(x)
    grid = call.layer.grid(np.zeros(shape, np.float32))
    if grid is None:
        raise Unsupported("a transform without a grid on a feature map; supported are those that quantise")
    quantization = activation_grid(grid)
    if not rounds_to(call, grid, shape):
        raise Unsupported("a transform that does more to a feature map than round it to its grid")
    builder.request(call.path, "output", grid.bits)
    y = reshape_to(builder, x, value.name, shape)
    builder.draft.change(y, quantization=quantization)
    return y


def rounds_to(call: Call, grid: Grid, shape: tuple[int, ...]) -> bool:
    """Whether the Transform delivers the nearest level of its grid, tried on a ramp over its range and beyond.

    The ramp stays away from the middle between two levels, which backends may reach from different sides.
    """
    reach = (grid.high - grid.low) / 2
    codes = np.rint(np.linspace(grid.low - reach, grid.high + reach, int(np.prod(shape)))) + 0.3
    ramp = ((codes - grid.zero_point) * np.ravel(grid.scale)[0]).astype(np.float32).reshape(shape)
    delivered = np.asarray(call.layer(ramp, training=False), np.float32)
    return np.array_equal(delivered, grid.decode(grid.encode(ramp)))
