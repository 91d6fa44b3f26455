"""Random single-op graphs for law G3: ops of recurrent networks."""

import math
from dataclasses import replace

import numpy as np
from g3_parts import RNG, ZERO_POINTS, Case, built, codes, constant, grid, grids, scales, shapes
from hypothesis import strategies as st

from tflite_export.ir import STORAGE, Graph, Op, Tensor

SIZE = st.integers(1, 9)
GATES = "ifco"


def variable(name, shape, dtype, on):
    return Tensor(name, shape, dtype, on, is_variable=True)


@st.composite
def gate_weights(draw, name, rows, columns, spread):
    """Four matrices whose products with codes spread about ``spread / step`` wide, each with a step of its own."""
    step = draw(scales(-3, 3) | scales(-9, 9)) * np.float32(spread / (70 * 73 * math.sqrt(columns)))
    steps = [step * draw(scales(-1, 1)) for _ in GATES]
    return [
        constant(f"{name}_{gate}", draw(codes((rows, columns))), "int8", grid(step))
        for gate, step in zip(GATES, steps, strict=True)
    ]


@st.composite
def lstm(draw):
    """Gates from all but constant to saturated, every cell scale, with and without a clip, states of odd shape."""
    samples, steps, inputs, units = draw(st.integers(1, 3)), draw(SIZE), draw(SIZE), draw(SIZE)
    x_grid, hidden = draw(grids()), grid(draw(st.just(1 / 128) | scales(-9, -4)), draw(ZERO_POINTS))
    weights = draw(gate_weights("w", units, inputs, 1 / float(x_grid.scale[0])))
    recurrent = draw(gate_weights("r", units, units, 1 / float(hidden.scale[0])))
    reach = draw(st.sampled_from([0, 1000, 2**20]))
    biases = [
        constant(f"b_{gate}", draw(RNG).integers(-reach, reach, units, endpoint=True), "int32",
                 grid(x_grid.scale[0] * w.quantization.scale[0], 0, 0, 32))
        for gate, w in zip(GATES, weights, strict=True)
    ]  # fmt: skip
    time_major = draw(st.booleans())
    leading = (steps, samples) if time_major else (samples, steps)
    cell = grid(2.0 ** draw(st.integers(-15, -9)), 0, 0, 16)
    state = draw(st.sampled_from([(samples, units), (samples * units,)]))
    constants = [*weights, *recurrent, *biases]
    tensors = [
        Tensor("x", (*leading, inputs), "int8", x_grid),
        *constants,
        variable("h", state, "int8", hidden),
        variable("c", state, "int16", cell),
        Tensor("inside", (1,), "int8", hidden),
        Tensor("y", (*leading, units), "int8", hidden),
    ]
    first = range(1, 1 + len(constants))
    absent = (-1,) * draw(st.sampled_from([0, 4]))
    order = (0, *first[:8], -1, -1, -1, *first[8:], -1, -1, len(constants) + 1, len(constants) + 2, *absent)
    options = {
        "fused_activation_function": "TANH",
        "time_major": time_major,
        "cell_clip": draw(st.sampled_from([0.0, 0.0, 0.5, 3.0, 1000.0])),
    }
    op = Op("UNIDIRECTIONAL_SEQUENCE_LSTM", order, (len(tensors) - 1,), options, (len(tensors) - 2,) * 5)
    return Case(Graph(tuple(tensors), (op,), (0,), op.outputs), (draw(codes(tensors[0].shape)),))


@st.composite
def counting_lstm(draw):
    """Gates all but open for so long that the cell state passes every power of two up to 64, and saturates."""
    case = draw(lstm())
    tensors, op = list(case.graph.tensors), case.graph.ops[0]
    for position in (*range(1, 9), *range(12, 16)):
        index = op.inputs[position]
        step = tensors[index].quantization.scale[0]
        value = 0 if position < 9 else round(draw(st.sampled_from([3.0, 7.5, 20.0])) / float(step))
        tensors[index] = replace(
            tensors[index], data=np.full_like(tensors[index].data, np.clip(value, -(2**30), 2**30))
        )
    steps, time = draw(st.integers(30, 90)), 0 if op.options["time_major"] else 1
    for index in (0, op.outputs[0]):
        shape = list(tensors[index].shape)
        shape[time] = steps
        tensors[index] = replace(tensors[index], shape=tuple(shape))
    return Case(replace(case.graph, tensors=tuple(tensors)), (draw(codes(tensors[0].shape)),))


@st.composite
def tanh(draw):
    ends = [Tensor("x", (1, 256), "int8", draw(grids(-12, 3))), Tensor("y", (1, 256), "int8", draw(grids(-10, -2)))]
    return draw(built("TANH", ends, inputs=(np.arange(-128, 128, dtype=np.int8)[None],)))


@st.composite
def reverse(draw):
    """Along axes side by side, as the runtime asks."""
    shape, on = draw(shapes((1, 4), 6)), draw(grids())
    first = draw(st.integers(0, len(shape) - 1))
    axes = list(range(first, draw(st.integers(first + 1, len(shape)))))
    ends = [Tensor(name, shape, "int8", on) for name in "xy"]
    return draw(built("REVERSE_V2", [ends[0], constant("axes", axes), ends[1]]))


@st.composite
def gather(draw):
    """Rows of a table by token numbers, and slices along any axis, with and without shared axes."""
    shape, on, dtype = draw(shapes((1, 4), 5)), draw(grids()), draw(st.sampled_from(["int8", "int8", "int16"]))
    axis = draw(st.integers(0, len(shape) - 1))
    shared = draw(st.integers(0, axis))
    found = (*shape[:shared], *draw(shapes((0, 2), 4)))
    numbers = draw(RNG).integers(0, shape[axis], found)
    on = on if dtype == "int8" else grid(on.scale[0], 0, 0, 16)
    made = (*shape[:axis], *found[shared:], *shape[axis + 1 :])
    x, values = Tensor("x", shape, dtype, on), draw(codes(shape, dtype=STORAGE[dtype]))
    kind = draw(st.sampled_from(["int32", "int32", "int64", "int16"]))
    by, fed = constant("numbers", numbers, kind), (values,)
    if draw(st.booleans()):
        x, by, fed = replace(x, data=values), Tensor("numbers", found, kind), (by.data,)
    options = {"axis": axis - len(shape) * draw(st.booleans()), "batch_dims": shared}
    return draw(built("GATHER", [x, by, Tensor("y", made, dtype, on)], options, fed))


@st.composite
def apart(draw, kind):
    """A tensor cut in equal parts, or into its elements, along an axis counted from either end."""
    shape, on, count = list(draw(shapes((1, 4), 4))), draw(grids()), draw(st.integers(1, 4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    part = list(shape)
    if kind == "SPLIT":
        shape[axis] *= count
        inputs = [constant("axis", [axis] if draw(st.booleans()) else axis), Tensor("x", tuple(shape), "int8", on)]
        options = {"num_splits": count}
    else:
        shape[axis] = count
        del part[axis]
        inputs, options = [Tensor("x", tuple(shape), "int8", on)], {"axis": axis, "num": count}
    outputs = [Tensor(f"y{k}", tuple(part), "int8", on) for k in range(count)]
    made = tuple(range(len(inputs), len(inputs) + count))
    op = Op(kind, tuple(range(len(inputs))), made, options)
    return Case(Graph((*inputs, *outputs), (op,), (len(inputs) - 1,), made), (draw(codes(tuple(shape))),))


@st.composite
def of_numbers(draw, kind, made, options=None):
    """An op on whole numbers of any size that broadcast, such as those of tokens."""
    shape = draw(shapes())
    second = tuple(1 if draw(st.integers(0, 3)) == 0 else length for length in shape)
    values = [draw(codes(size, -(2**31), 2**31 - 1, np.int32)) for size in (shape, second)]
    tensors = [Tensor("a", shape, "int32"), Tensor("b", second, "int32"), Tensor("y", shape, made)]
    return draw(built(kind, tensors, options, tuple(values)))


@st.composite
def select(draw, kind):
    """Codes or numbers by a condition; SELECT_V2 broadcasts all three, SELECT none but one condition for all."""
    shape, dtype = draw(shapes()), draw(st.sampled_from(["int8", "int16", "int32", "float32"]))
    on = draw(grids()) if dtype == "int8" else grid(0.5, 0, 0, 16) if dtype == "int16" else None
    sizes = [shape, shape, shape]
    if kind == "SELECT_V2":
        one = draw(st.integers(0, 2))
        sizes = [tuple(draw(st.sampled_from([1, n])) for n in shape) if k != one else shape for k in range(3)]
    elif draw(st.booleans()):
        sizes[0] = ()
    condition = draw(codes(sizes[0], 0, 1, np.bool_))
    values = [draw(codes(size, dtype=STORAGE[dtype])) for size in sizes[1:]]
    ends = [Tensor(name, size, dtype, on) for name, size in zip("aby", (*sizes[1:], shape))]
    return draw(built(kind, [Tensor("c", sizes[0], "bool"), *ends], None, (condition, *values)))


RECURRENT_CASES = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (lstm(), 300),
    "UNIDIRECTIONAL_SEQUENCE_LSTM counting": (counting_lstm(), 40),
    "GATHER": (gather(), 100),
    "ADD int32": (of_numbers("ADD", "int32", {"fused_activation_function": "NONE"}), 30),
    "LESS": (of_numbers("LESS", "bool"), 30),
    "SELECT": (select("SELECT"), 40),
    "SELECT_V2": (select("SELECT_V2"), 60),
    "TANH": (tanh(), 80),
    "REVERSE_V2": (reverse(), 30),
    "SPLIT": (apart("SPLIT"), 30),
    "UNPACK": (apart("UNPACK"), 30),
}
"""By name: what draws a case, and how many to draw."""
