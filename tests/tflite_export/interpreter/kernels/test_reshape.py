import numpy as np
import pytest

from tflite_export.interpreter import Executor, UnsupportedOp
from tflite_export.ir import Tensor


@pytest.mark.parametrize("shape, options", [([3, -1], {}), (None, {"new_shape": (-1, 2)}), (None, {})])
def test_shape_comes_from_input_option_or_output(shape, options, operate):
    constants = [] if shape is None else [(shape, "int32")]
    y = operate("RESHAPE", ([[1.0, 2, 3, 4, 5, 6]], "float32"), *constants, out=((3, 2), "float32"), **options)
    np.testing.assert_array_equal(y, [[1, 2], [3, 4], [5, 6]])


def test_scalar_is_a_shape(operate):
    assert operate("RESHAPE", ([[5.0]], "float32"), (np.zeros(0), "int32"), out=((), "float32")) == 5


@pytest.mark.parametrize("shape", [[4], [-1, 4], [-1, -1]])
def test_shapes_of_another_size_are_refused(shape, operate):
    with pytest.raises(UnsupportedOp, match=r"'input 0'.*cannot take the shape"):
        operate("RESHAPE", ([1.0, 2, 3, 4, 5, 6], "float32"), (shape, "int32"), out=((6,), "float32"))


def test_shape_may_be_computed_while_the_graph_runs(graph_of):
    x, shape, y = Tensor("x", (1, 2), "float32"), Tensor("shape", (2,), "int32"), Tensor("y", (2, 1), "float32")
    graph = graph_of("RESHAPE", [x, shape], y)
    values = Executor(graph).run([np.float32([[1, 2]]), np.array([2, -1], np.int32)])
    np.testing.assert_array_equal(values[2], [[1], [2]])
