import numpy as np
import pytest

from tflite_export.interpreter import Executor, UnsupportedOp
from tflite_export.ir import Graph, Op, Tensor


def real(name, *shape, data=None):
    return Tensor(name, shape, "float32", None, data)


@pytest.fixture
def graph():
    """y = relu(x + 1), z = y * y."""
    one = np.ones((1, 2), np.float32)
    tensors = (real("x", 1, 2), real("one", 1, 2, data=one), real("sum", 1, 2), real("y", 1, 2), real("z", 1, 2))
    ops = (Op("ADD", (0, 1), (2,)), Op("RELU", (2,), (3,)), Op("MUL", (3, 3), (4,)))
    return Graph(tensors, ops, (0,), (3, 4))


X = np.float32([[1, -3]])


def test_outputs_come_by_tensor_index(graph):
    values = Executor(graph).run([X])
    assert values.keys() == {3, 4}
    np.testing.assert_array_equal(values[3], [[2, 0]])
    np.testing.assert_array_equal(values[4], [[4, 0]])


def test_keep_returns_every_tensor(graph):
    values = Executor(graph).run([X], keep=True)
    assert values.keys() == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(values[2], [[2, -2]])


def test_observer_sees_each_op_output_in_order_and_may_replace_it(graph):
    seen = []

    def observe(index, value):
        seen.append(index)
        return value + 1 if index == 3 else value

    values = Executor(graph).run([X], observe)
    assert seen == [2, 3, 4]
    np.testing.assert_array_equal(values[4], [[9, 1]])


def test_batch_runs_at_once_where_samples_stay_apart(graph):
    calls = []
    values = Executor(graph).run([np.repeat(X, 3, axis=0)], lambda index, y: calls.append(index) or y)
    assert calls == [2, 3, 4]
    np.testing.assert_array_equal(values[4], [[4, 0]] * 3)


def test_large_batch_runs_in_parts_that_fit_into_memory(graph, monkeypatch):
    monkeypatch.setattr("tflite_export.interpreter.executor.AT_ONCE", 3 * 16)  # three times two rows of two float32
    executor = Executor(graph)
    sizes, relu = [], executor._kernels[1]
    executor._kernels[1] = lambda x: sizes.append(len(x)) or relu(x)
    x = np.arange(16, dtype=np.float32).reshape(8, 2) - 8
    values = executor.run([x])
    assert sizes == [3, 3, 2]
    np.testing.assert_array_equal(values[3], np.maximum(x + 1, 0))


def test_batch_runs_sample_by_sample_where_they_would_mix():
    axes = Tensor("axes", (1,), "int32", None, np.array([0], np.int32))
    tensors = (real("x", 1, 2), axes, real("y", 1, 2))
    graph = Graph(tensors, (Op("MEAN", (0, 1), (2,), {"keep_dims": True}),), (0,), (2,))
    x = np.float32([[1, 2], [3, 4]])
    values = Executor(graph).run([x], keep=True)
    np.testing.assert_array_equal(values[2], x)
    np.testing.assert_array_equal(values[1], [0])


@pytest.mark.parametrize(
    "inputs, message",
    [
        ([X, X], "has 1 inputs. Received: 2"),
        ([X.astype(np.float64)], "'x' must be of type float32. Received: float64"),
        ([X[:, :1]], r"'x' must have shape \(1, 2\).*Received: \(1, 1\)"),
        ([X[:0]], r"Received: \(0, 2\)"),
        ([X[0]], r"Received: \(2,\)"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs, message, graph):
    with pytest.raises(ValueError, match=message):
        Executor(graph).run(inputs)


def test_graph_made_for_several_samples_takes_just_as_many():
    graph = Graph((real("x", 2, 2), real("y", 2, 2)), (Op("RELU", (0,), (1,)),), (0,), (1,))
    assert Executor(graph).run([np.ones((2, 2), np.float32)])[1].shape == (2, 2)
    with pytest.raises(ValueError, match=r"Received: \(3, 2\)"):
        Executor(graph).run([np.ones((3, 2), np.float32)])


def test_op_without_kernel_is_named_with_what_exists():
    graph = Graph((real("x", 1), real("y", 1)), (Op("ATAN2", (0,), (1,)),), (0,), (1,))
    with pytest.raises(UnsupportedOp, match=r"No kernel for ATAN2, which makes \['y'\]. Supported: ADD, .*SUB"):
        Executor(graph)


def test_op_of_a_dynamic_batch_is_refused_with_the_way_out():
    graph = Graph((real("x", 1), real("y", 1)), (Op("TILE", (0,), (1,)),), (0,), (1,))
    with pytest.raises(UnsupportedOp, match="fixed batch of 1"):
        Executor(graph)


@pytest.mark.parametrize("y", [real("y", 1, 3), real("y", 2), real("y", 3, 2), Tensor("y", (1, 2), "int8")])
def test_file_that_lies_about_a_tensor_is_found_out(y):
    graph = Graph((real("x", 1, 2), y), (Op("RESHAPE", (0,), (1,), {"new_shape": (1, 2)}),), (0,), (1,))
    with pytest.raises(ValueError, match=r"RESHAPE: tensor 'y'.*by the file"):
        Executor(graph).run([X])


def test_input_may_be_an_output():
    assert Executor(Graph((real("x", 1, 2),), (), (0,), (0,))).run([X])[0] is X
