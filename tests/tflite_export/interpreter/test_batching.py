import numpy as np
import pytest

from tflite_export.interpreter.batching import batchable
from tflite_export.interpreter.executor import Executor
from tflite_export.ir import Graph, Op, Tensor


def real(name, *shape):
    return Tensor(name, shape, "float32")


def whole(*values):
    return Tensor("c", np.shape(values), "int32", None, np.array(values, np.int32))


OPEN = {"begin_mask": 1, "end_mask": 1}
APART = [
    ("MEAN", [real("x", 1, 3, 2), whole(1)], real("y", 1, 2), {}),
    ("TRANSPOSE", [real("x", 1, 3, 2), whole(0, 2, 1)], real("y", 1, 2, 3), {}),
    ("CONCATENATION", [real("x", 1, 3), real("z", 1, 2)], real("y", 1, 5), {"axis": -1}),
    ("PAD", [real("x", 1, 3), whole([0, 0], [1, 1])], real("y", 1, 5), {}),
    ("ADD", [real("x", 1, 3, 2), real("z", 1, 1, 2)], real("y", 1, 3, 2), {}),
    ("RESHAPE", [real("x", 1, 3, 2), whole(1, 6)], real("y", 1, 6), {}),
    ("EXPAND_DIMS", [real("x", 1, 3), whole(0)], real("y", 1, 1, 3), {}),
    ("SOFTMAX", [real("x", 1, 3)], real("y", 1, 3), {"beta": 1.0}),
    ("PACK", [real("x", 1, 3), real("z", 1, 3)], real("y", 1, 2, 3), {"axis": 1}),
    ("STRIDED_SLICE", [real("x", 1, 3), whole(0, 1), whole(1, 2), whole(1, 1)], real("y", 1, 1), OPEN),
    ("GATHER", [real("x", 1, 3, 2), whole(2, 0)], real("y", 1, 2, 2), {"axis": 1}),
]
MIXED = [
    ("MEAN", [real("x", 1, 3), whole(0)], real("y", 3), {}),
    ("MEAN", [real("x", 1, 1, 3), whole(-3)], real("y", 1, 3), {}),
    ("TRANSPOSE", [real("x", 1, 1, 2), whole(1, 0, 2)], real("y", 1, 1, 2), {}),
    ("CONCATENATION", [real("x", 1, 3), real("z", 1, 3)], real("y", 2, 3), {"axis": 0}),
    ("PAD", [real("x", 1, 3), whole([1, 0], [1, 1])], real("y", 2, 5), {}),
    ("ADD", [real("x", 1, 3), real("z", 1, 1, 3)], real("y", 1, 1, 3), {}),
    ("SOFTMAX", [real("x", 1)], real("y", 1), {"beta": 1.0}),
    ("RELU", [real("x", 2, 3)], real("y", 2, 3), {}),
    ("PACK", [real("x", 1, 3), real("z", 1, 3)], real("y", 2, 1, 3), {"axis": 0}),
    ("STRIDED_SLICE", [real("x", 1, 3), whole(0, 1), whole(1, 2), whole(1, 1)], real("y", 1, 1), {}),
    ("GATHER", [real("x", 1, 3), whole(0)], real("y", 1, 3), {"axis": 0}),
]


@pytest.mark.parametrize("kind, inputs, output, options", APART)
def test_op_that_keeps_samples_apart_runs_batched_with_the_same_result(kind, inputs, output, options, graph_of):
    graph = graph_of(kind, inputs, output, **options)
    assert batchable(graph)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(4, *graph.tensors[k].shape[1:])).astype(np.float32) for k in graph.inputs]
    executor = Executor(graph)
    alone = [next(iter(executor.run([x[n : n + 1] for x in arrays]).values())) for n in range(4)]
    (together,) = executor.run(arrays).values()
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("kind, inputs, output, options", MIXED)
def test_op_that_could_mix_samples_is_not_batched(kind, inputs, output, options, graph_of):
    assert not batchable(graph_of(kind, inputs, output, **options))


def test_constant_of_several_rows_is_no_partner_for_a_batch(graph_of):
    rows = Tensor("c", (2, 3), "float32", None, np.ones((2, 3), np.float32))
    assert not batchable(graph_of("ADD", [real("x", 1, 3), rows], real("y", 2, 3)))


def test_graph_without_ops_is_batchable():
    assert batchable(Graph((real("x", 1),), (), (0,), (0,)))
    assert not batchable(Graph((real("x", 1), real("y", 3)), (Op("RELU", (0,), (1,)),), (0,), (1,)))
