"""Random single-op graphs for law G3: one hypothesis strategy per op, drawn to hurt.

Output scales are drawn around the spread that the op produces, from far too fine (everything saturates) to far too
coarse (everything is one code), as long as the reference kernels survive them.
"""

import math

import numpy as np
from g3_more_cases import CASES as MORE_CASES
from g3_parts import (
    ACTIVATIONS,
    CHANNELS,
    RNG,
    ZERO_POINTS,
    built,
    codes,
    constant,
    grid,
    grids,
    one_grid,
    product_grids,
    scales,
    shapes,
    sliding,
    sum_grids,
    weighted,
)
from g3_recurrent_cases import RECURRENT_CASES
from g3_wide_cases import WIDE_CASES
from hypothesis import assume
from hypothesis import strategies as st

from tflite_export.ir import Tensor


@st.composite
def conv_2d(draw):
    options, (kh, kw), (h, w), (oh, ow) = draw(sliding())
    groups, depth, per_group = draw(st.sampled_from([1, 1, 2, 3])), draw(CHANNELS), draw(st.integers(1, 4))
    if draw(st.integers(0, 19)) == 0:  # over the 1032 products that float32 surely sums exactly
        groups, depth = 1, 1100 // (kh * kw)
    x, weights, bias, y = draw(weighted((groups * per_group, kh, kw, depth), 0, kh * kw * depth))
    n = draw(st.integers(1, 2))
    tensors = [Tensor("x", (n, h, w, groups * depth), "int8", x), weights, bias]
    return draw(built("CONV_2D", [*tensors, Tensor("y", (n, oh, ow, groups * per_group), "int8", y)], options))


@st.composite
def depthwise_conv_2d(draw):
    options, (kh, kw), (h, w), (oh, ow) = draw(sliding())
    depth, multiplier, n = draw(CHANNELS), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    x, weights, bias, y = draw(weighted((1, kh, kw, depth * multiplier), 3, kh * kw))
    tensors = [Tensor("x", (n, h, w, depth), "int8", x), weights, bias]
    options = {**options, "depth_multiplier": multiplier}
    return draw(
        built("DEPTHWISE_CONV_2D", [*tensors, Tensor("y", (n, oh, ow, depth * multiplier), "int8", y)], options)
    )


@st.composite
def fully_connected(draw):
    """Rescaled sums stay inside int32: beyond, the reference kernel casts a double that does not fit."""
    length = draw(st.integers(1, 40) | st.sampled_from([1033, 1300, 4096]))
    x, weights, bias, y = draw(weighted((draw(st.integers(1, 8)), length), 0, length, ("int8", "int8", "int4", "int2")))
    largest = 255 * 128 * length + np.abs(bias.data.astype(np.int64)).max()
    assume(largest * (x.scale[0] * weights.quantization.scale.max() / y.scale[0]) < 2**31 - 256)
    keep, leading = draw(st.booleans()), draw(shapes((1, 2), 3))
    made = (*leading, len(weights.data)) if keep else (math.prod(leading), len(weights.data))
    tensors = [Tensor("x", (*leading, length), "int8", x), weights, *([bias] if draw(st.integers(0, 3)) else [])]
    options = {"keep_num_dims": keep, "fused_activation_function": draw(ACTIVATIONS)}
    return draw(built("FULLY_CONNECTED", [*tensors, Tensor("y", made, "int8", y)], options))


@st.composite
def broadcasting(draw, kind, rule, options=None):
    """An op on two tensors that broadcast, the second perhaps constant; ``rule`` draws the three grids."""
    shape = draw(shapes())
    second = tuple(
        1 if draw(st.integers(0, 3)) == 0 else length for length in shape[draw(st.integers(0, len(shape) - 1)) :]
    )
    second = shape if draw(st.booleans()) else second
    a, b, y = draw(rule)
    tensors = [Tensor("a", shape, "int8", a), Tensor("b", second, "int8", b)]
    if draw(st.booleans()):
        tensors[1] = constant("b", draw(codes(second)), "int8", b)
    if draw(st.booleans()):
        tensors.reverse()
    if options is None:
        options = {"fused_activation_function": draw(ACTIVATIONS)}
    return draw(built(kind, [*tensors, Tensor("y", shape, "int8", y)], options))


@st.composite
def pool(draw, kind):
    options, (kh, kw), (h, w), (oh, ow) = draw(sliding(dilated=False))
    options = {**options, "filter_height": kh, "filter_width": kw}
    n, depth, on = draw(st.integers(1, 2)), draw(CHANNELS), draw(grids())
    tensors = [Tensor("x", (n, h, w, depth), "int8", on), Tensor("y", (n, oh, ow, depth), "int8", on)]
    return draw(built(kind, tensors, options))


@st.composite
def mean(draw):
    shape = draw(shapes((1, 4), 9))
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=len(shape)))
    keep, reduced = draw(st.booleans()), {axis % len(shape) for axis in axes}
    made = tuple(1 if k in reduced else n for k, n in enumerate(shape) if keep or k not in reduced)
    x = draw(grids())
    y = draw(
        st.just(x) | (scales(-8, 8) | scales(-29, 40)).map(lambda ratio: grid(x.scale[0] * ratio, x.zero_point[0]))
    )
    tensors = [Tensor("x", shape, "int8", x), constant("axes", axes), Tensor("y", made, "int8", y)]
    return draw(built("MEAN", tensors, {"keep_dims": keep}))


@st.composite
def softmax(draw):
    """Rows that the reference kernel survives: it aborts where the exponentials sum up to 512 times the largest."""
    shape = (*draw(shapes((0, 3), 3)), draw(st.integers(1, 40) | st.sampled_from([1000, 4000])))
    x, beta = draw(grids(-24, 4)), draw(st.sampled_from([1.0, 0.5, 2.0, 1.3]))
    tensors = [Tensor("x", shape, "int8", x), Tensor("y", shape, "int8", grid(1 / 256, -128))]
    case = draw(built("SOFTMAX", tensors, {"beta": beta}))
    logits = case.inputs[0] * (np.float64(x.scale[0]) * beta)
    assume(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1).max() < 511)
    return case


WIDE = grids() | grids(-15, 14)
EVERY_CODE = (np.arange(-128, 128, dtype=np.int8)[None],)


@st.composite
def on_every_code(draw, kind, y, x):
    """An op of one int8 code, on all of them."""
    tensors = [Tensor("x", (1, 256), "int8", draw(x)), Tensor("y", (1, 256), "int8", draw(y))]
    return draw(built(kind, tensors, inputs=EVERY_CODE))


@st.composite
def quantize(draw):
    on = draw(grids(-30, 20))
    steps = draw(RNG).normal(0, 90, (3, 50))
    halves = np.arange(-150, 150).reshape(3, 100) + 0.5
    x = (np.concatenate([steps, halves], 1) * np.float64(on.scale[0])).astype(np.float32)
    return draw(built("QUANTIZE", [Tensor("x", x.shape, "float32"), Tensor("y", x.shape, "int8", on)], inputs=(x,)))


@st.composite
def requantize_bytes(draw):
    """Between int8 and uint8, as files with uint8 inputs or outputs have it; mostly the same grid moved by 128."""
    one = draw(grids())
    other = (
        grid(one.scale[0], one.zero_point[0] + 128)
        if draw(st.integers(0, 3))
        else grid(draw(scales()), draw(ZERO_POINTS) + 128)
    )
    ends, fed = [Tensor("x", (1, 256), "int8", one), Tensor("y", (1, 256), "uint8", other)], EVERY_CODE
    if draw(st.booleans()):
        ends, fed = ends[::-1], (EVERY_CODE[0].view(np.uint8),)
    return draw(built("QUANTIZE", ends, inputs=fed))


@st.composite
def dequantize(draw):
    tensors = [Tensor("x", (1, 256), "int8", draw(grids(-60, 60))), Tensor("y", (1, 256), "float32")]
    return draw(built("DEQUANTIZE", tensors, inputs=EVERY_CODE))


@st.composite
def pad(draw, kind):
    shape, on = draw(shapes((1, 4), 4)), draw(grids())
    widths = np.array([[draw(st.integers(0, 3)), draw(st.integers(0, 3))] for _ in shape], np.int32)
    tensors = [Tensor("x", shape, "int8", on), constant("widths", widths)]
    if kind == "PADV2":
        tensors.append(constant("value", draw(codes((1,))), "int8", on))
    made = tuple(int(n) for n in np.array(shape) + widths.sum(1))
    return draw(built(kind, [*tensors, Tensor("y", made, "int8", on)]))


@st.composite
def concatenation(draw):
    shape, on = list(draw(shapes((1, 4), 4))), draw(grids())
    axis, lengths = (
        draw(st.integers(-len(shape), len(shape) - 1)),
        draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)),
    )
    parts = []
    for k, length in enumerate(lengths):
        shape[axis] = length
        parts.append(Tensor(f"x{k}", tuple(shape), "int8", on))
    shape[axis] = sum(lengths)
    return draw(built("CONCATENATION", [*parts, Tensor("y", tuple(shape), "int8", on)], {"axis": axis}))


@st.composite
def reshape(draw):
    shape, on = draw(shapes()), draw(grids())
    made = draw(st.permutations(shape).map(tuple) | st.just((math.prod(shape),)) | st.just((1, math.prod(shape), 1)))
    target = tuple(-1 if k == 0 and draw(st.booleans()) else n for k, n in enumerate(made))
    tensors = [Tensor("x", shape, "int8", on), constant("shape", target), Tensor("y", made, "int8", on)]
    return draw(built("RESHAPE", tensors, {"new_shape": target}))


@st.composite
def transpose(draw):
    shape, on = draw(shapes((1, 5), 4)), draw(grids())
    order = draw(st.permutations(range(len(shape))))
    made = Tensor("y", tuple(shape[k] for k in order), "int8", on)
    return draw(built("TRANSPOSE", [Tensor("x", shape, "int8", on), constant("order", order), made]))


@st.composite
def squeeze(draw):
    shape, on = (*draw(shapes((1, 3))), 1), draw(grids())
    ones = [k for k, n in enumerate(shape) if n == 1]
    axes = draw(st.just([]) | st.lists(st.sampled_from(ones), min_size=1, unique=True))
    made = tuple(n for k, n in enumerate(shape) if k not in (axes or ones))
    options = {"squeeze_dims": tuple(axes)}
    return draw(built("SQUEEZE", [Tensor("x", shape, "int8", on), Tensor("y", made, "int8", on)], options))


@st.composite
def expand_dims(draw):
    shape, on = draw(shapes((1, 3))), draw(grids())
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    made = list(shape)
    made.insert(axis % (len(shape) + 1), 1)
    return draw(
        built(
            "EXPAND_DIMS",
            [Tensor("x", shape, "int8", on), constant("axis", [axis]), Tensor("y", tuple(made), "int8", on)],
        )
    )


@st.composite
def shape_of(draw):
    shape = draw(shapes())
    tensors = [Tensor("x", shape, "int8", draw(grids())), Tensor("y", (len(shape),), "int32")]
    return draw(built("SHAPE", tensors, {"out_type": "int32"}))


@st.composite
def pack(draw):
    shape, on, count = draw(shapes((1, 3), 4)), draw(grids()), draw(st.integers(1, 4))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    made = list(shape)
    made.insert(axis % (len(shape) + 1), count)
    tensors = [*(Tensor(f"x{k}", shape, "int8", on) for k in range(count)), Tensor("y", tuple(made), "int8", on)]
    return draw(built("PACK", tensors, {"axis": axis, "values_count": count}))


@st.composite
def strided_slice(draw):
    """Slices with ends inside and outside, forwards and backwards, that leave something."""
    shape, on = draw(shapes()), draw(grids())
    masks = {name: draw(st.integers(0, 2 ** len(shape) - 1)) for name in ("begin_mask", "end_mask")}
    dropped = draw(st.integers(0, 2 ** len(shape) - 1)) & draw(st.integers(0, 2 ** len(shape) - 1))
    begin, end, strides = ([draw(st.integers(-n - 2, n + 2)) for n in shape] for _ in range(3))
    strides = [stride or 1 for stride in strides]
    where = []
    for k, n in enumerate(shape):
        if dropped >> k & 1:
            begin[k], strides[k] = draw(st.integers(-n, n - 1)), 1
            where.append(0 if masks["begin_mask"] >> k & 1 else begin[k])
        else:
            first, last = (None if masks[name] >> k & 1 else ends[k] for name, ends in zip(masks, (begin, end)))
            where.append(slice(first, last, strides[k]))
    made = np.empty(shape, np.int8)[tuple(where)].shape
    assume(0 not in made)
    constants = [constant(name, values) for name, values in zip(("begin", "end", "strides"), (begin, end, strides))]
    tensors = [Tensor("x", shape, "int8", on), *constants, Tensor("y", made, "int8", on)]
    return draw(built("STRIDED_SLICE", tensors, {**masks, "shrink_axis_mask": dropped}))


CASES = {
    "CONV_2D": (conv_2d(), 300),
    "DEPTHWISE_CONV_2D": (depthwise_conv_2d(), 200),
    "FULLY_CONNECTED": (fully_connected(), 250),
    "ADD": (broadcasting("ADD", sum_grids()), 150),
    "SUB": (broadcasting("SUB", sum_grids()), 100),
    "MUL": (broadcasting("MUL", product_grids()), 150),
    "AVERAGE_POOL_2D": (pool("AVERAGE_POOL_2D"), 100),
    "MAX_POOL_2D": (pool("MAX_POOL_2D"), 80),
    "MEAN": (mean(), 150),
    "SOFTMAX": (softmax(), 150),
    "LOGISTIC": (on_every_code("LOGISTIC", st.just(grid(1 / 256, -128)), grids(-12, 3)), 60),
    "RELU": (on_every_code("RELU", WIDE, WIDE), 60),
    "RELU6": (on_every_code("RELU6", WIDE, WIDE), 60),
    "RELU_N1_TO_1": (on_every_code("RELU_N1_TO_1", WIDE, WIDE), 40),
    "QUANTIZE": (quantize(), 60),
    "QUANTIZE int8": (on_every_code("QUANTIZE", WIDE, WIDE), 60),
    "QUANTIZE uint8": (requantize_bytes(), 30),
    "DEQUANTIZE": (dequantize(), 40),
    "PAD": (pad("PAD"), 50),
    "PADV2": (pad("PADV2"), 50),
    "CONCATENATION": (concatenation(), 50),
    "MAXIMUM": (broadcasting("MAXIMUM", one_grid(), {}), 50),
    "MINIMUM": (broadcasting("MINIMUM", one_grid(), {}), 50),
    "RESHAPE": (reshape(), 30),
    "TRANSPOSE": (transpose(), 40),
    "SQUEEZE": (squeeze(), 20),
    "EXPAND_DIMS": (expand_dims(), 20),
    "SHAPE": (shape_of(), 10),
    "PACK": (pack(), 30),
    "STRIDED_SLICE": (strided_slice(), 60),
    **MORE_CASES,
    **WIDE_CASES,
    **RECURRENT_CASES,
}
"""By name: what draws a case, and how many to draw."""
