"""Parts of which the random single-op graphs of law G3 are drawn: grids, codes, shapes, windows.

Structure (shapes, strides, zero points, scales) is drawn; arrays are filled from a drawn seed in one of several
moods, so that a sum can be all codes -128, all 127, only extremes, or anything.
"""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tflite_export.ir import STORAGE, Graph, Op, Quantization, Tensor

MOODS = {
    "any": lambda rng, shape, low, high: rng.integers(low, high + 1, shape),
    "low": lambda rng, shape, low, high: np.full(shape, low),
    "high": lambda rng, shape, low, high: np.full(shape, high),
    "extremes": lambda rng, shape, low, high: rng.choice([low, high], shape),
    "small": lambda rng, shape, low, high: rng.integers(max(low, -3), min(high, 3) + 1, shape),
}
NOT_IN_REFERENCE = ("ELU",)
"""Ops of which LiteRT has one kernel only, which its set of reference kernels lacks."""

ACTIVATIONS = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
ZERO_POINTS = st.sampled_from([-128, -1, 0, 127]) | st.integers(-128, 127)
MOOD = st.sampled_from(["any", "any", "any", *MOODS])
RNG = st.integers(0, 2**32 - 1).map(np.random.default_rng)
SIDE, CHANNELS = st.integers(1, 9), st.integers(1, 7)


@dataclass(frozen=True)
class Case:
    """A graph of one op and what goes into it."""

    graph: Graph
    inputs: tuple[np.ndarray, ...]

    def _repr_pretty_(self, printer, _cycle):
        """What hypothesis prints of a failing case: no arrays."""
        printer.text(f"{self.graph.ops[0]}")
        for tensor in self.graph.tensors:
            on = tensor.quantization and (tensor.quantization.scale.tolist(), tensor.quantization.zero_point.tolist())
            printer.text(f"\n    {tensor.name} {tensor.dtype} {tensor.shape} {on or ''}")


@st.composite
def scales(draw, low=-10, high=3):
    """A float32 scale, every other one a power of two."""
    mantissa = draw(st.just(1.0) | st.floats(1.0, 2.0, width=32, exclude_max=True))
    return np.float32(math.ldexp(mantissa, draw(st.integers(low, high))))


def grid(scale, zero_point=0, axis=0, bits=8):
    scale = np.atleast_1d(np.float32(scale))
    return Quantization(scale, np.full(scale.shape, zero_point, np.int64), axis, bits)


@st.composite
def grids(draw, low=-10, high=3):
    return grid(draw(scales(low, high)), draw(ZERO_POINTS))


@st.composite
def codes(draw, shape, low=-128, high=127, dtype=np.int8):
    return MOODS[draw(MOOD)](draw(RNG), shape, low, high).astype(dtype)


def constant(name, values, dtype="int32", quantization=None):
    values = np.asarray(values, STORAGE[dtype])
    return Tensor(name, values.shape, dtype, quantization, values)


@st.composite
def shapes(draw, ranks=(1, 4), longest=6):
    return tuple(draw(st.lists(st.integers(1, longest), min_size=ranks[0], max_size=ranks[1])))


@st.composite
def built(draw, kind, tensors, options=None, inputs=None):
    """The case of an op that takes all ``tensors`` but the last, which it makes; non-constants are fed."""
    fed = [index for index, tensor in enumerate(tensors[:-1]) if tensor.data is None]
    arrays = inputs or tuple(draw(codes(tensors[index].shape)) for index in fed)
    op = Op(kind, tuple(range(len(tensors) - 1)), (len(tensors) - 1,), options or {})
    return Case(Graph(tuple(tensors), (op,), tuple(fed), (len(tensors) - 1,)), arrays)


def windows_out(length, size, stride, dilation, padding):
    extent = (size - 1) * dilation + 1
    return -(-length // stride) if padding == "SAME" else (length - extent) // stride + 1


@st.composite
def sliding(draw, dilated=True, largest=5):
    """Options of a sliding window, its size, and the input's and output's height and width."""
    options, size, inside, outside = {"padding": draw(st.sampled_from(["SAME", "VALID"]))}, [], [], []
    for axis in "hw":
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3)) if dilated else 1
        options[f"stride_{axis}"] = stride
        if dilated:
            options[f"dilation_{axis}_factor"] = dilation
        size.append(draw(st.integers(1, largest)))
        least = 1 if options["padding"] == "SAME" else (size[-1] - 1) * dilation + 1
        inside.append(draw(st.integers(least, least + 8)))
        outside.append(windows_out(inside[-1], size[-1], stride, dilation, options["padding"]))
    return {**options, "fused_activation_function": draw(ACTIVATIONS)}, size, inside, outside


@st.composite
def weighted(draw, shape, axis, terms, narrow=("int8", "int8", "int8", "int4")):
    """Input grid, weights, bias and output grid of a convolution or a dense layer with ``terms`` products per sum."""
    channels = shape[axis]
    dtype = draw(st.sampled_from(narrow))
    bits = int(dtype.removeprefix("int"))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = [draw(scales(-12, 0)) for _ in range(channels if draw(st.booleans()) else 1)]
    weights = constant("w", draw(codes(shape, low, high)), dtype, grid(scale, 0, axis * (len(scale) > 1), bits))
    x = draw(grids())
    reach = draw(st.sampled_from([0, 1000, 100_000, 2**31 - 1]))
    bias = draw(RNG).integers(-reach, reach, channels, endpoint=True)
    bias = constant("b", bias, "int32", grid(x.scale[0] * np.array(scale), 0, 0, 32))
    spread = float(x.scale[0]) * float(np.median(scale)) * math.sqrt(terms) * high
    y = grid(np.float32(spread) * draw(scales(-3, 6) | scales(-15, 25)), draw(ZERO_POINTS))
    return x, weights, bias, y


@st.composite
def sum_grids(draw):
    """An output scale below 2**-19 times the larger operand's makes the reference kernel abort."""
    a, b = (draw(grids(-9, 3) | grids(-9, 40)) for _ in "ab")
    return a, b, grid(max(a.scale[0], b.scale[0]) * draw(scales(-4, 8) | scales(-18, 40)), draw(ZERO_POINTS))


@st.composite
def product_grids(draw):
    a, b = draw(grids() | grids(0, 10)), draw(grids() | grids(0, 10))
    scale = a.scale[0] * b.scale[0] * draw(scales(-8, 15) | scales(-29, 40))
    assume(scale > 2.0**-28)  # or the code of a fused activation's bound leaves int32
    return a, b, grid(scale, draw(ZERO_POINTS))


@st.composite
def one_grid(draw):
    return (draw(grids()),) * 3
