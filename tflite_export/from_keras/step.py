"""The step of channel gates, in standard ops.

    1[x > 0]  =  min(relu(x * 2**64), 1)

In float the step is a ramp so steep that no number lies on it. In integers its result has one bit, 0 or 1, at the top
of int8. Where a fully connected layer makes ``x``, it takes the slope into its weights, and its accumulator is a whole
number: clipping that to 0 and 1 is the step itself, without rounding and without an op that compares. The pass
``gentle_slopes`` leaves no more of the slope than that needs. LiteRT's GREATER would not do: it multiplies codes by
their step in 8 fractional bits, in which a small logit is zero.
"""

import math

import numpy as np

from tfcompress.structure.trace import Call
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.shapes import reshape_to
from tflite_export.passes.binary import binary_grid

STEEP = 2.0**64


def step(builder: Builder, call: Call, x: int) -> int:
    """``1[x > 0]``; where a grid rounds ``x``, a depthwise convolution on an image will take the slope."""
    name, shape = call.outputs[0].name, builder.shape(x)
    if len(shape) == 4 or builder.draft.tensors[x].quantization is None:
        return _step(builder, x, name)
    image = reshape_to(builder, x, f"{name}/image", (shape[0], math.prod(shape[1:-1]), 1, shape[-1]))
    y = reshape_to(builder, _step(builder, image, f"{name}/bits"), name, shape)
    builder.draft.change(y, quantization=binary_grid())
    return y


def _step(builder: Builder, x: int, name: str) -> int:
    shape = builder.shape(x)
    slope = builder.constant(f"{name}/slope", np.full(shape[-1], STEEP, np.float32))
    ramp = builder.emit("MUL", (x, slope), f"{name}/ramp", shape, fused_activation_function="NONE")
    above = builder.emit("RELU", (ramp,), f"{name}/above", shape)
    one = builder.constant(f"{name}/one", np.ones([1] * len(shape), np.float32))
    y = builder.emit("MINIMUM", (above, one), name, shape)
    builder.draft.change(y, quantization=binary_grid())
    return y
