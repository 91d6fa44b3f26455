"""Random single-op graphs with int16 feature maps for law G3: the ops of a convolutional network, zero point 0."""

import math

import numpy as np
from g3_parts import (
    ACTIVATIONS,
    CHANNELS,
    RNG,
    ZERO_POINTS,
    built,
    codes,
    constant,
    grid,
    scales,
    shapes,
    sliding,
)
from hypothesis import assume
from hypothesis import strategies as st

from tflite_export.ir import Tensor

LOW, HIGH = -(2**15), 2**15 - 1
EVERY_CODE = (np.arange(LOW, HIGH + 1, dtype=np.int16)[None],)


def wide(scale):
    return grid(scale, 0, 0, 16)


def grids(low=-18, high=-3):
    return scales(low, high).map(wide)


def signal(shape):
    return codes(shape, LOW, HIGH, np.int16)


@st.composite
def fed(draw, kind, tensors, options=None):
    """The case of an op on int16 inputs."""
    arrays = tuple(draw(signal(t.shape)) for t in tensors[:-1] if t.data is None)
    return draw(built(kind, tensors, options, arrays))


@st.composite
def weighted(draw, shape, axis, terms, types=("int8",), bias_types=("int64",)):
    """Input grid, weights, bias and output grid; the ratio of scales stays below 2**7, as MBQM64 needs."""
    channels, dtype = shape[axis], draw(st.sampled_from(types))
    bits = int(dtype.removeprefix("int"))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = np.array([draw(scales(-12, 0)) for _ in range(channels if draw(st.booleans()) else 1)])
    weights = constant("w", draw(codes(shape, low, high)), dtype, grid(scale, 0, axis * (len(scale) > 1), bits))
    x, bias_type = draw(grids()), draw(st.sampled_from(bias_types))
    reach = draw(st.sampled_from([0, 1000, 2**31 - 1] + [2**39] * (bias_type == "int64")))
    bias = draw(RNG).integers(-reach, reach, channels, endpoint=True)
    bits = 64 if bias_type == "int64" else 32
    bias = constant("b", bias, bias_type, grid(x.scale[0] * scale, 0, 0, bits))
    spread = float(x.scale[0]) * float(np.median(scale)) * math.sqrt(terms) * high
    y = wide(np.float32(spread) * draw(scales(-3, 6) | scales(-12, 20)))
    assume(np.float64(x.scale[0]) * float(scale.max()) / float(y.scale[0]) < 2**7)
    options = {"quantized_bias_type": "int32"} if bias_type == "int32" else {}
    return x, weights, bias, y, options


@st.composite
def conv_2d(draw):
    options, (kh, kw), (h, w), (oh, ow) = draw(sliding())
    groups, depth, per_group = draw(st.sampled_from([1, 1, 2])), draw(CHANNELS), draw(st.integers(1, 4))
    shape = (groups * per_group, kh, kw, depth)
    x, weights, bias, y, more = draw(weighted(shape, 0, kh * kw * depth, bias_types=("int64", "int64", "int32")))
    tensors = [Tensor("x", (1, h, w, groups * depth), "int16", x), weights, bias]
    made = Tensor("y", (1, oh, ow, groups * per_group), "int16", y)
    return draw(fed("CONV_2D", [*tensors, made], options | more))


@st.composite
def depthwise_conv_2d(draw):
    options, (kh, kw), (h, w), (oh, ow) = draw(sliding())
    depth, multiplier = draw(CHANNELS), draw(st.integers(1, 3))
    x, weights, bias, y, _ = draw(weighted((1, kh, kw, depth * multiplier), 3, kh * kw))
    tensors = [Tensor("x", (1, h, w, depth), "int16", x), weights, bias]
    made = Tensor("y", (1, oh, ow, depth * multiplier), "int16", y)
    return draw(fed("DEPTHWISE_CONV_2D", [*tensors, made], {**options, "depth_multiplier": multiplier}))


@st.composite
def fully_connected(draw):
    """Rescaled sums stay inside int32, as the reference kernel casts them."""
    length, units = draw(st.integers(1, 40) | st.sampled_from([1033, 4096])), draw(st.integers(1, 8))
    types, biases = ("int8", "int8", "int4"), ("int64", "int64", "int32")
    x, weights, bias, y, options = draw(weighted((units, length), 0, length, types, biases))
    largest = 2**15 * 128 * length + np.abs(bias.data.astype(np.float64)).max()
    assume(largest * float(x.scale[0] * weights.quantization.scale.max() / y.scale[0]) < 2**31 - 256)
    rows = draw(st.integers(1, 3))
    tensors = [Tensor("x", (rows, length), "int16", x), weights, bias, Tensor("y", (rows, units), "int16", y)]
    return draw(fed("FULLY_CONNECTED", tensors, options | {"fused_activation_function": draw(ACTIVATIONS)}))


@st.composite
def pair(draw, kind):
    """ADD, SUB and MUL with broadcasting; ADD by multipliers, or by shifts where all steps are powers of two."""
    shape = draw(shapes())
    second = shape if draw(st.booleans()) else tuple(1 for _ in shape)
    a, options = draw(grids()), {"fused_activation_function": draw(ACTIVATIONS)}
    b = draw(grids())
    if kind == "MUL":
        y = wide(a.scale[0] * b.scale[0] * draw(scales(0, 15) | scales(-6, 30)))
        assume(y.scale[0] > 2.0**-28)
    elif draw(st.integers(0, 2)) == 0:
        exponent = draw(st.integers(-14, -5))
        a, y = wide(2.0 ** (exponent - draw(st.integers(0, 6)))), wide(2.0**exponent)
        b, second, options = y, shape, options | {"pot_scale_int16": True}
    else:
        y, options = wide(max(a.scale[0], b.scale[0]) * draw(scales(-4, 8))), options | {"pot_scale_int16": False}
    tensors = [Tensor("a", shape, "int16", a), Tensor("b", second, "int16", b)]
    if draw(st.booleans()):
        tensors.reverse()
    return draw(fed(kind, [*tensors, Tensor("y", shape, "int16", y)], options))


@st.composite
def pool(draw, kind):
    options, (kh, kw), (h, w), (oh, ow) = draw(sliding(dilated=False))
    depth, on = draw(CHANNELS), draw(grids())
    tensors = [Tensor("x", (1, h, w, depth), "int16", on), Tensor("y", (1, oh, ow, depth), "int16", on)]
    return draw(fed(kind, tensors, {**options, "filter_height": kh, "filter_width": kw}))


@st.composite
def mean(draw):
    shape = draw(shapes((2, 4), 6))
    axes = draw(st.lists(st.integers(1, len(shape) - 1), min_size=1, unique=True))
    keep, x = draw(st.booleans()), draw(grids())
    made = tuple(1 if k in axes else n for k, n in enumerate(shape) if keep or k not in axes)
    y = wide(x.scale[0] * draw(scales(-5, 5)))
    tensors = [Tensor("x", shape, "int16", x), constant("axes", axes), Tensor("y", made, "int16", y)]
    return draw(fed("MEAN", tensors, {"keep_dims": keep}))


@st.composite
def softmax(draw):
    shape = (*draw(shapes((0, 3), 3)), draw(st.integers(1, 40) | st.sampled_from([1000])))
    x, y = draw(grids(-26, -3)), wide(1 / 32768)
    tensors = [Tensor("x", shape, "int16", x), Tensor("y", shape, "int16", y)]
    return draw(fed("SOFTMAX", tensors, {"beta": draw(st.sampled_from([1.0, 0.5, 1.3]))}))


@st.composite
def on_every_code(draw, kind, x, y, dtype="int16"):
    made = Tensor("y", (1, 2**16), dtype, draw(y))
    return draw(built(kind, [Tensor("x", (1, 2**16), "int16", draw(x)), made], inputs=EVERY_CODE))


@st.composite
def quantize(draw):
    """From floats, and from int8."""
    y = draw(grids(-30, 10))
    if draw(st.booleans()):
        x = (draw(RNG).normal(0, 20000, (3, 50)) * np.float64(y.scale[0])).astype(np.float32)
        return draw(built("QUANTIZE", [Tensor("x", x.shape, "float32"), Tensor("y", x.shape, "int16", y)], inputs=(x,)))
    x = grid(y.scale[0] * draw(scales(-3, 10)), draw(ZERO_POINTS))
    tensors = [Tensor("x", (1, 256), "int8", x), Tensor("y", (1, 256), "int16", y)]
    return draw(built("QUANTIZE", tensors, inputs=(np.arange(-128, 128, dtype=np.int8)[None],)))


@st.composite
def moved(draw, kind):
    """Ops that copy codes."""
    shape, on = draw(shapes((2, 4), 4)), draw(grids())
    if kind == "PAD":
        widths = np.array([[draw(st.integers(0, 3)), draw(st.integers(0, 3))] for _ in shape], np.int32)
        made = tuple(int(n) for n in np.array(shape) + widths.sum(1))
        tensors, options = [Tensor("x", shape, "int16", on), constant("widths", widths)], {}
    elif kind == "RESHAPE":
        made = (math.prod(shape),)
        tensors, options = [Tensor("x", shape, "int16", on), constant("shape", made)], {"new_shape": made}
    elif kind == "TRANSPOSE":
        order = draw(st.permutations(range(len(shape))))
        made = tuple(shape[k] for k in order)
        tensors, options = [Tensor("x", shape, "int16", on), constant("order", order)], {}
    elif kind == "STRIDED_SLICE":
        made = tuple(-(-n // 2) for n in shape)
        ends = [("begin", [0] * len(shape)), ("end", shape), ("strides", [2] * len(shape))]
        tensors, options = [Tensor("x", shape, "int16", on), *(constant(name, v) for name, v in ends)], {}
    elif kind == "REVERSE_V2":
        tensors, options, made = [Tensor("x", shape, "int16", on), constant("axes", [len(shape) - 1])], {}, shape
    elif kind == "PACK":
        tensors, options = [Tensor(name, shape, "int16", on) for name in "ab"], {"axis": 1, "values_count": 2}
        made = (shape[0], 2, *shape[1:])
    elif kind == "SQUEEZE":
        made, shape = shape, (*shape, 1)
        tensors, options = [Tensor("x", shape, "int16", on)], {"squeeze_dims": (len(made),)}
    else:
        made = (*shape[:-1], 2 * shape[-1])
        tensors, options = [Tensor(name, shape, "int16", on) for name in "ab"], {"axis": -1}
    return draw(fed(kind, [*tensors, Tensor("y", made, "int16", on)], options))


@st.composite
def larger(draw):
    shape, on = draw(shapes((2, 4), 4)), draw(grids())
    low = constant("low", [draw(st.integers(LOW, HIGH))], "int16", on)
    kind = draw(st.sampled_from(["MAXIMUM", "MINIMUM"]))
    return draw(fed(kind, [Tensor("x", shape, "int16", on), low, Tensor("y", shape, "int16", on)]))


@st.composite
def by_pieces(draw, kind, ratio, x, options=st.just({})):  # noqa: B008 - a strategy
    """A function of one code by straight pieces, on all codes; ``ratio`` is the output's step over the input's."""
    on = draw(x)
    tensors = [Tensor(name, (1, 2**16), "int16", q) for name, q in (("x", on), ("y", wide(on.scale[0] * draw(ratio))))]
    return draw(built(kind, tensors, draw(options), EVERY_CODE))


@st.composite
def rsqrt(draw):
    """Nothing below zero, or the reference kernel stops."""
    on = draw(grids())
    y = wide(draw(scales(-12, 4)) / np.sqrt(on.scale[0] * 2**15))
    codes_from_zero = (np.arange(2**15, dtype=np.int16)[None],)
    return draw(
        built("RSQRT", [Tensor(n, (1, 2**15), "int16", q) for n, q in (("x", on), ("y", y))], inputs=codes_from_zero)
    )


@st.composite
def prelu(draw):
    shape = draw(shapes((1, 4)))
    slopes = tuple(draw(st.sampled_from([n, n, 1])) for n in shape)[draw(st.integers(0, len(shape) - 1)) :]
    x, slope = draw(grids()), grid(draw(scales(-12, 0)), draw(ZERO_POINTS))
    y = wide(x.scale[0] * draw(scales(-4, 6)))
    tensors = [Tensor("x", shape, "int16", x), constant("a", draw(codes(slopes)), "int8", slope)]
    return draw(fed("PRELU", [*tensors, Tensor("y", shape, "int16", y)]))


@st.composite
def resize(draw, kind):
    on, depth = draw(grids()), draw(CHANNELS)
    before = [draw(st.integers(1, 9)) for _ in "hw"]
    after = [draw(st.integers(1, 20) | st.sampled_from([k, 2 * k, 3 * k])) for k in before]
    rule = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    options = {"align_corners": rule[0], "half_pixel_centers": rule[1]}
    ends = [Tensor(name, (1, *size, depth), "int16", on) for name, size in (("x", before), ("y", after))]
    return draw(fed(kind, [ends[0], constant("size", after), ends[1]], options))


@st.composite
def transpose_conv(draw):
    options, size, inside, outside = {"padding": draw(st.sampled_from(["SAME", "VALID"]))}, [], [], []
    for axis in "hw":
        stride = options[f"stride_{axis}"] = draw(st.integers(1, 3))
        size.append(draw(st.integers(1, 4)))
        inside.append(draw(st.integers(1, 5)))
        least = (inside[-1] - 1) * stride + (1 if options["padding"] == "SAME" else size[-1])
        outside.append(least + draw(st.integers(0, stride - 1)))
    depth, channels = draw(CHANNELS), draw(CHANNELS)
    shape, biases = (channels, *size, depth), ("int64", "int64", "int32")
    x, weights, bias, y, more = draw(weighted(shape, 0, size[0] * size[1] * depth, bias_types=biases))
    made = (1, *outside, channels)
    tensors = [constant("shape", made), weights, Tensor("x", (1, *inside, depth), "int16", x), bias]
    options |= more | {"fused_activation_function": draw(ACTIVATIONS)}
    return draw(fed("TRANSPOSE_CONV", [*tensors, Tensor("y", made, "int16", y)], options))


UNIT = st.just(wide(1 / 32768))
SLOPES = (st.floats(0, 3, width=32) | st.sampled_from([0.0, 0.01, 0.2, 1.0])).map(lambda a: {"alpha": a})
BENT = {"approximate": st.booleans()}

WIDE_CASES = {
    "CONV_2D int16": (conv_2d(), 150),
    "DEPTHWISE_CONV_2D int16": (depthwise_conv_2d(), 100),
    "FULLY_CONNECTED int16": (fully_connected(), 120),
    "ADD int16": (pair("ADD"), 100),
    "SUB int16": (pair("SUB"), 60),
    "MUL int16": (pair("MUL"), 80),
    "AVERAGE_POOL_2D int16": (pool("AVERAGE_POOL_2D"), 60),
    "MAX_POOL_2D int16": (pool("MAX_POOL_2D"), 40),
    "MEAN int16": (mean(), 80),
    "SOFTMAX int16": (softmax(), 80),
    "LOGISTIC int16": (on_every_code("LOGISTIC", grids(-18, 0) | st.just(wide(2.0**-12)), UNIT), 30),
    "TANH int16": (on_every_code("TANH", grids(-18, 0) | st.sampled_from([wide(2.0**-12), wide(2.0**-11)]), UNIT), 30),
    "EXP int16": (by_pieces("EXP", scales(-3, 20), grids(-20, -8)), 30),
    "GELU int16": (by_pieces("GELU", scales(-3, 3), grids(-20, -8), st.fixed_dictionaries(BENT)), 40),
    "RSQRT int16": (rsqrt(), 30),
    "LEAKY_RELU int16": (by_pieces("LEAKY_RELU", scales(-4, 6), grids(), SLOPES), 30),
    "PRELU int16": (prelu(), 60),
    "RESIZE_BILINEAR int16": (resize("RESIZE_BILINEAR"), 60),
    "RESIZE_NEAREST_NEIGHBOR int16": (resize("RESIZE_NEAREST_NEIGHBOR"), 40),
    "TRANSPOSE_CONV int16": (transpose_conv(), 80),
    "REVERSE_V2 int16": (moved("REVERSE_V2"), 10),
    "PACK int16": (moved("PACK"), 20),
    "RELU int16": (on_every_code("RELU", grids(), grids()), 20),
    "RELU6 int16": (on_every_code("RELU6", grids(), grids()), 20),
    "QUANTIZE int16": (quantize(), 60),
    "QUANTIZE int16 to int16": (on_every_code("QUANTIZE", grids(), grids()), 20),
    "QUANTIZE int16 to int8": (on_every_code("QUANTIZE", grids(), scales(-10, 3).map(grid), "int8"), 20),
    "DEQUANTIZE int16": (on_every_code("DEQUANTIZE", grids(), st.none(), "float32"), 20),
    "PAD int16": (moved("PAD"), 30),
    "RESHAPE int16": (moved("RESHAPE"), 10),
    "CONCATENATION int16": (moved("CONCATENATION"), 30),
    "TRANSPOSE int16": (moved("TRANSPOSE"), 20),
    "STRIDED_SLICE int16": (moved("STRIDED_SLICE"), 20),
    "SQUEEZE int16": (moved("SQUEEZE"), 10),
    "MAXIMUM int16": (larger(), 40),
}
"""By name: what draws a case, and how many to draw."""
