"""A graph that no sane tool would write is refused with a ValueError, or runs; it never ends in anything else."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from g3_cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tflite_export.interpreter import Executor
from tflite_export.ir import STORAGE


@st.composite
def damaged(draw, strategy):
    """A case with one thing wrong: an operand, a type, a shape, a grid, a constant, an option."""
    case = draw(strategy)
    (op,), tensors = case.graph.ops, list(case.graph.tensors)
    victim = draw(st.integers(0, len(tensors) - 1))
    tensor = tensors[victim]
    dtype = draw(st.sampled_from(sorted(STORAGE)))
    shape = draw(st.lists(st.integers(0, 3), max_size=5).map(tuple))
    damage = draw(st.sampled_from(["inputs", "outputs", "type", "shape", "grid", "constant", "options", "option"]))
    if damage == "inputs":
        op = replace(op, inputs=tuple(draw(st.lists(st.integers(-1, len(tensors) - 1), max_size=5))))
    elif damage == "outputs":
        op = replace(op, outputs=op.outputs * draw(st.sampled_from([0, 2])))
    elif damage == "type":
        with np.errstate(over="ignore"):
            data = None if tensor.data is None else tensor.data.astype(STORAGE[dtype])
        tensors[victim] = replace(tensor, dtype=dtype, data=data)
    elif damage == "shape":
        data = None if tensor.data is None else np.resize(tensor.data, shape).astype(tensor.data.dtype)
        tensors[victim] = replace(tensor, shape=shape, data=data)
    elif damage == "grid":
        tensors[victim] = replace(tensor, quantization=draw(st.sampled_from(tensors)).quantization)
    elif damage == "constant":
        data = np.resize(draw(st.sampled_from([tensor.data, np.array([-7, 9])])), tensor.shape)
        tensors[victim] = replace(tensor, data=data.astype(STORAGE[tensor.dtype]) if data.dtype != object else None)
    elif damage == "options":
        op = replace(op, options={})
    elif single := sorted(key for key, value in op.options.items() if not isinstance(value, tuple)):
        key = draw(st.sampled_from(single))
        op = replace(op, options={**op.options, key: draw(st.sampled_from([-9, 0, 9, 2**31 - 1]))})
    return replace(case.graph, tensors=tuple(tensors), ops=(op,), outputs=op.outputs[:1])


@pytest.mark.parametrize("name", CASES)
def test_damaged_graph_is_refused_or_runs(name):
    @settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(CASES[name][0]))
    def check(graph):
        fed = [graph.tensors[index] for index in graph.inputs if index not in graph.outputs]
        with contextlib.suppress(ValueError):
            Executor(graph).run([np.zeros(t.shape, STORAGE[t.dtype]) for t in fed])

    check()
