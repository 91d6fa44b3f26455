"""Random single-op graphs for law G3: activations by table, resizing, transposed convolution."""

import numpy as np
from g3_parts import ACTIVATIONS, CHANNELS, ZERO_POINTS, built, codes, constant, grid, grids, scales, shapes, weighted
from hypothesis import strategies as st

from tflite_export.ir import Tensor

EVERY_CODE = (np.arange(-128, 128, dtype=np.int8)[None],)


@st.composite
def by_table(draw, kind, options=st.just({}), ratio=scales(-6, 6), x=grids(-12, 3)):  # noqa: B008 - a strategy
    """An op of one int8 code, on all of them; ``ratio`` is the output's step over the input's."""
    on = draw(x)
    y = grid(on.scale[0] * draw(ratio), draw(ZERO_POINTS))
    tensors = [Tensor("x", (1, 256), "int8", on), Tensor("y", (1, 256), "int8", y)]
    return draw(built(kind, tensors, draw(options), inputs=EVERY_CODE))


SLOPES = st.floats(0, 3, width=32) | st.sampled_from([0.0, 0.01, 0.2, 0.3, 1.0, 100.0])


@st.composite
def rsqrt(draw):
    """Nothing below zero, or the reference kernel stops; steps between those at which the largest result fits."""
    on = grid(draw(scales(-20, 6)), -128)
    y = grid(draw(scales(-12, 4)) / np.sqrt(on.scale[0]), draw(ZERO_POINTS))
    tensors = [Tensor("x", (1, 256), "int8", on), Tensor("y", (1, 256), "int8", y)]
    return draw(built("RSQRT", tensors, inputs=EVERY_CODE))


@st.composite
def l2_normalization(draw):
    """Vectors of all lengths, of zeros too, and some so long that their squares need 31 bits."""
    shape = (*draw(shapes((0, 3), 5)), draw(st.integers(1, 40) | st.sampled_from([3000, 20000])))
    tensors = [Tensor("x", shape, "int8", draw(grids())), Tensor("y", shape, "int8", grid(1 / 128, 0))]
    return draw(built("L2_NORMALIZATION", tensors))


@st.composite
def prelu(draw):
    shape = draw(shapes((1, 4)))
    slopes = tuple(draw(st.sampled_from([n, n, 1])) for n in shape)[draw(st.integers(0, len(shape) - 1)) :]
    x, slope = draw(grids()), draw(grids(-12, 0))
    y = grid(x.scale[0] * draw(scales(-6, 6) | scales(-20, 20)), draw(ZERO_POINTS))
    tensors = [Tensor("x", shape, "int8", x), constant("a", draw(codes(slopes)), "int8", slope)]
    return draw(built("PRELU", [*tensors, Tensor("y", shape, "int8", y)]))


@st.composite
def resize(draw, kind):
    n, depth, on = draw(st.integers(1, 2)), draw(CHANNELS), draw(grids())
    before = [draw(st.integers(1, 9)) for _ in "hw"]
    after = [draw(st.integers(1, 20) | st.sampled_from([k, 2 * k, 3 * k])) for k in before]
    rule = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    options = {"align_corners": rule[0], "half_pixel_centers": rule[1]}
    ends = [Tensor(name, (n, *size, depth), "int8", on) for name, size in (("x", before), ("y", after))]
    return draw(built(kind, [ends[0], constant("size", after), ends[1]], options))


@st.composite
def transpose_conv(draw):
    """Filters larger and smaller than the stride, outputs of every size that leads back to the input."""
    options, size, inside, outside = {"padding": draw(st.sampled_from(["SAME", "VALID"]))}, [], [], []
    for axis in "hw":
        stride = options[f"stride_{axis}"] = draw(st.integers(1, 3))
        size.append(draw(st.integers(1, 5)))
        inside.append(draw(st.integers(1, 6)))
        least = (inside[-1] - 1) * stride + (1 if options["padding"] == "SAME" else size[-1])
        outside.append(least + draw(st.integers(0, stride - 1)))
    depth, channels, n = draw(CHANNELS), draw(CHANNELS), draw(st.integers(1, 2))
    x, weights, bias, y = draw(weighted((channels, *size, depth), 0, size[0] * size[1] * depth, ("int8",)))
    made = (n, *outside, channels)
    tensors = [constant("shape", made), weights, Tensor("x", (n, *inside, depth), "int8", x), bias]
    options["fused_activation_function"] = draw(ACTIVATIONS)
    return draw(built("TRANSPOSE_CONV", [*tensors, Tensor("y", made, "int8", y)], options))


CASES = {
    "LEAKY_RELU": (by_table("LEAKY_RELU", SLOPES.map(lambda a: {"alpha": a}), scales(-8, 8) | scales(-20, 20)), 120),
    "ELU": (by_table("ELU"), 120),
    "EXP": (by_table("EXP", ratio=scales(-3, 6), x=grids(-10, -5)), 100),
    "RSQRT": (rsqrt(), 150),
    "L2_NORMALIZATION": (l2_normalization(), 120),
    "GELU": (by_table("GELU", st.booleans().map(lambda a: {"approximate": a})), 160),
    "HARD_SWISH": (by_table("HARD_SWISH", ratio=scales(-6, 6), x=grids(-14, 3)), 160),
    "PRELU": (prelu(), 120),
    "RESIZE_BILINEAR": (resize("RESIZE_BILINEAR"), 150),
    "RESIZE_NEAREST_NEIGHBOR": (resize("RESIZE_NEAREST_NEIGHBOR"), 150),
    "TRANSPOSE_CONV": (transpose_conv(), 250),
}
"""By name: what draws a case, and how many to draw."""
