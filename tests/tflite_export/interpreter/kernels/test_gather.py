import numpy as np
import pytest

from tflite_export.interpreter import Executor, UnsupportedOp

TABLE = [[1, 2], [3, 4], [5, 6]]


def test_every_number_fetches_its_row(tensor, graph_of, on):
    table, tokens = tensor("table", TABLE, "int8", on(0.5)), tensor("tokens", (1, 4), "int32")
    graph = graph_of("GATHER", [table, tokens], tensor("y", (1, 4, 2), "int8", on(0.5)), axis=0)
    (y,) = Executor(graph).run([np.array([[2, 0, 0, 1]], np.int32)]).values()
    np.testing.assert_array_equal(y, [[[5, 6], [1, 2], [1, 2], [3, 4]]])


def test_slices_along_another_axis_and_for_each_of_the_shared_ones(operate):
    y = operate("GATHER", (TABLE, "float32"), ([1, 1, 0], "int32"), out=((3, 3), "float32"), axis=-1)
    np.testing.assert_array_equal(y, [[2, 2, 1], [4, 4, 3], [6, 6, 5]])
    each = operate("GATHER", (TABLE, "float32"), ([1, 0, 1], "int32"), out=((3,), "float32"), axis=1, batch_dims=1)
    np.testing.assert_array_equal(each, [2, 3, 6])


@pytest.mark.parametrize("token", [-1, 3])
def test_a_number_without_a_row_is_refused(token, tensor, graph_of):
    table, tokens = tensor("table", TABLE, "float32"), tensor("tokens", (1,), "int32")
    executor = Executor(graph_of("GATHER", [table, tokens], tensor("y", (1, 2), "float32"), axis=0))
    with pytest.raises(UnsupportedOp, match="'tokens'.*expected numbers from 0 to 2"):
        executor.run([np.array([token], np.int32)])


@pytest.mark.parametrize(
    ("numbers", "options", "message"),
    [
        (([1.0], "float32"), {}, "expected type int16, int32, int64"),
        (([1], "int32"), {"axis": 2}, "no axis 2"),
        (([1], "int32"), {"batch_dims": 1}, "no axis 0 behind 1"),
        (([1], "int32"), {"axis": 1, "batch_dims": 1}, "first 1 axes of the numbers"),
        (([1, 2], "int32"), {}, r"make it \(2, 2\)"),
    ],
)
def test_what_cannot_be_is_refused(numbers, options, message, operate):
    with pytest.raises(UnsupportedOp, match=message):
        operate("GATHER", (TABLE, "float32"), numbers, out=((1, 2), "float32"), **options)


def test_another_grid_is_refused(operate, on):
    with pytest.raises(UnsupportedOp, match="Insert a QUANTIZE"):
        operate("GATHER", (TABLE, "int8", on(0.5)), ([1], "int32"), out=((1, 2), "int8", on(1)), axis=0)
