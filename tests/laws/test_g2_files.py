"""Law G2: what is written is what is read, ``read(write(g)) == g``."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from tflite_export.convert import convert, integer_graph
from tflite_export.flatbuffer import canonical, read, write
from tflite_export.flatbuffer.options import OPERATORS, table_name
from tflite_export.flatbuffer.packing import width
from tflite_export.ir import STORAGE, Graph, Op, Quantization, Tensor

ELEMENTWISE = ("ADD", "SUB", "MUL", "MAXIMUM", "CONCATENATION")
"""Ops of two inputs whose options and versions differ, on tensors of any type."""

OPTIONS = {
    "ADD": st.fixed_dictionaries({"fused_activation_function": st.sampled_from(["NONE", "RELU", "RELU6"])}),
    "CONCATENATION": st.fixed_dictionaries({"axis": st.integers(-8, 7)}),
}


@st.composite
def grids(draw, dtype, shape):
    axis = draw(st.integers(0, max(0, len(shape) - 1)))
    count = draw(st.sampled_from([1, shape[axis]])) if shape and shape[axis] else 1
    finite = st.floats(0, 2.0**100, width=32)
    scale = np.array(draw(st.lists(finite, min_size=count, max_size=count)), np.float32)
    low, high = (-(2**31), 2**31 - 1) if dtype in ("float32", "float16", "bool") else limits(dtype)
    zero_point = np.full(count, draw(st.integers(low, high)), np.int64)
    bits = draw(st.integers(1, width(dtype)))
    return Quantization(scale, zero_point, axis, bits, draw(st.none() | st.integers(low, high)))


def limits(dtype):
    bits = width(dtype)
    return (0, 255) if dtype == "uint8" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@st.composite
def tensors(draw, name, constant):
    dtype = draw(st.sampled_from(list(STORAGE)))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    grid = draw(st.none() | grids(dtype, shape))
    data = None
    if constant or 0 in shape:
        raw = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 256, (*shape, 8), np.uint8)
        if dtype in ("int4", "int2"):
            low, high = limits(dtype)
            data = (raw[..., 0] % (high - low + 1) + np.int16(low)).astype(np.int8)
        elif dtype == "bool":
            data = raw[..., 0] > 127
        else:
            data = raw.view(STORAGE[dtype])[..., 0]
        data = np.array(data)
    return Tensor(name, shape, dtype, grid, data)


@st.composite
def graphs(draw):
    """A chain of ops over random tensors; only the file format is at stake, not whether a kernel would run."""
    names = draw(st.lists(st.text(max_size=12), min_size=2, max_size=8, unique=True))
    built = [draw(tensors(name, constant=draw(st.booleans()))) for name in names]
    ready = [k for k, tensor in enumerate(built) if tensor.data is not None]
    free = [k for k, tensor in enumerate(built) if tensor.data is None]
    inputs, ops = tuple(free[:1]), []
    ready += inputs
    for index in free[1:]:
        if not ready:
            break
        kind = draw(st.sampled_from(ELEMENTWISE))
        pair = (draw(st.sampled_from(ready)), draw(st.sampled_from(ready)))
        ops.append(Op(kind, pair, (index,), draw(OPTIONS.get(kind, st.just({})))))
        ready.append(index)
    outputs = tuple(draw(st.lists(st.sampled_from(ready), max_size=3))) if ready else ()
    maps = [{draw(st.text(max_size=5)): index for index in indices} for indices in (inputs, outputs)]
    signature = draw(st.none() | st.tuples(st.text(max_size=9), *map(st.just, maps)))
    metadata = draw(
        st.dictionaries(st.text(max_size=9).filter(lambda n: n != "tfcompress"), st.binary(max_size=99), max_size=3)
    )
    return Graph(tuple(built), tuple(ops), inputs, outputs, signature, metadata, draw(st.text(max_size=9)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graphs())
def test_what_is_written_is_what_is_read(graph):
    blob = write(graph)
    known = read(blob)
    assert known == canonical(graph)
    assert write(known) == blob


@pytest.mark.parametrize("kind", [kind for kind in OPERATORS if table_name(kind)])
def test_every_option_of_every_operator_survives(kind):
    """Each number of the table set to something other than its default."""
    options = {key: _other(key, value) for key, value in canonical(_single(kind, {})).ops[0].options.items()}
    graph = _single(kind, options)
    assert read(write(graph)) == canonical(graph)
    assert canonical(graph).ops[0].options == options


def _single(kind, options):
    tensors = tuple(Tensor(f"t{k}", (1, 2, 2, 1), "float32") for k in range(5))
    return Graph(tensors, (Op(kind, (0, 1, 2, 3), (4,), options),), (0, 1, 2, 3), (4,))


def _other(key, value):
    if isinstance(value, str):
        others = {"SAME": "VALID", "NONE": "RELU6", "float32": "int32", "FLOAT32": "INT32"}
        return others.get(value, value)
    return (not value) if isinstance(value, bool) else type(value)(value + 1)


def test_an_exported_network_survives():
    keras.utils.set_random_seed(0)
    x = image = keras.Input((6, 6, 2), name="image")
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x)))
    x = layers.Concatenate()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).standard_normal((8, 6, 6, 2), np.float32)
    graph = integer_graph(model, images)
    assert read(write(graph)) == canonical(graph)
    assert convert(model, images) == write(read(write(graph)))
