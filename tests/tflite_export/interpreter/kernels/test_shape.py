import numpy as np
import pytest

from tflite_export.interpreter import Executor, UnsupportedOp
from tflite_export.ir import Graph, Op, Tensor


def test_lengths_of_the_axes(operate):
    assert operate("SHAPE", (np.ones((1, 3, 2)), "float32"), out=((3,), "int32")).tolist() == [1, 3, 2]


def test_other_types_are_refused(operate):
    with pytest.raises(UnsupportedOp, match="int32 or int64"):
        operate("SHAPE", ([1.0], "float32"), out=((1,), "float32"))


def constant(name, *values):
    return Tensor(name, np.shape(values), "int32", None, np.array(values, np.int32))


def test_flatten_of_a_file_with_unknown_batch_runs_batched():
    """The stock converter writes SHAPE, STRIDED_SLICE, PACK, RESHAPE for it."""
    tensors = (
        Tensor("x", (1, 2, 3), "float32"), Tensor("shape", (3,), "int32"), constant("0", 0), constant("1", 1),
        Tensor("batch", (), "int32"), Tensor("6", (), "int32", None, np.array(6, np.int32)),
        Tensor("target", (2,), "int32"), Tensor("y", (1, 6), "float32"),
    )  # fmt: skip
    ops = (
        Op("SHAPE", (0,), (1,), {"out_type": "int32"}),
        Op("STRIDED_SLICE", (1, 2, 3, 3), (4,), {"shrink_axis_mask": 1}),
        Op("PACK", (4, 5), (6,), {"axis": 0, "values_count": 2}),
        Op("RESHAPE", (0, 6), (7,)),
    )
    executor = Executor(Graph(tensors, ops, (0,), (7,)))
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    assert executor.batchable
    np.testing.assert_array_equal(executor.run([x])[7], x.reshape(4, 6))
