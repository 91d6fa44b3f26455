import numpy as np
import pytest

from tflite_export.interpreter import Executor
from tflite_export.ir import STORAGE, Graph, Op, Quantization, Tensor


def grid(scale, zero_point=0, axis=0, bits=8):
    scale = np.atleast_1d(np.float32(scale))
    return Quantization(scale, np.full(scale.shape, zero_point, np.int64), axis, bits)


@pytest.fixture
def on():
    """``on(scale, zero_point, axis)``: a grid."""
    return grid


@pytest.fixture
def tensor():
    """``tensor(name, content, dtype, quantization)``: an activation if the content is a shape, else a constant."""

    def build(name, content, dtype="int8", quantization=None):
        if isinstance(content, tuple):
            return Tensor(name, content, dtype, quantization)
        values = np.asarray(content, STORAGE[dtype])
        return Tensor(name, values.shape, dtype, quantization, values)

    return build


@pytest.fixture
def graph_of():
    """``graph_of(kind, inputs, output, **options)``: a graph of one op; inputs without data are fed."""

    def build(kind, inputs, output, **options):
        fed = tuple(k for k, t in enumerate(inputs) if t.data is None)
        op = Op(kind, tuple(range(len(inputs))), (len(inputs),), options)
        return Graph((*inputs, output), (op,), fed, (len(inputs),))

    return build


@pytest.fixture
def operate(tensor, graph_of):
    """``operate(kind, x, *constants, out, **options)``: what one op makes of values.

    ``x``, the constants and ``out`` are ``(values, dtype, grid)``, of ``out`` the shape stands for the values.
    """

    def run(kind, *operands, out, fed=1, **options):
        inputs = [tensor(f"input {k}", *operand) for k, operand in enumerate(operands)]
        arrays = [t.data for t in inputs[:fed]]
        activations = [Tensor(t.name, t.shape, t.dtype, t.quantization) for t in inputs[:fed]]
        graph = graph_of(kind, [*activations, *inputs[fed:]], tensor("y", *out), **options)
        return Executor(graph).run(arrays)[graph.outputs[0]]

    return run
