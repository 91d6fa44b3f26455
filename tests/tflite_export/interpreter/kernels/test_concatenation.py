import numpy as np
import pytest

from tflite_export.interpreter import Executor, UnsupportedOp


def test_codes_are_copied_along_a_negative_axis(operate, on):
    a, b = ([[1, 2]], "int8", on(0.5, 3)), ([[3]], "int8", on(0.5, 3))
    assert operate("CONCATENATION", a, b, out=((1, 3), "int8", on(0.5, 3)), axis=-1).tolist() == [[1, 2, 3]]


def test_constant_serves_every_sample_of_a_batch(tensor, graph_of):
    parts, out = [tensor("x", (1, 1), "float32"), tensor("c", [[7.0]], "float32")], tensor("y", (1, 2), "float32")
    (y,) = Executor(graph_of("CONCATENATION", parts, out, axis=1)).run([np.float32([[1], [2]])]).values()
    np.testing.assert_array_equal(y, [[1, 7], [2, 7]])


def test_another_grid_is_refused_with_the_remedy(operate, on):
    a, b = ([[1]], "int8", on(0.5, 3)), ([[3]], "int8", on(0.5, 4))
    with pytest.raises(UnsupportedOp, match=r"'input 1'.*Insert a QUANTIZE"):
        operate("CONCATENATION", a, b, out=((1, 2), "int8", on(0.5, 3)), axis=1)


@pytest.mark.parametrize(
    "options, message", [({"axis": 2}, "no axis 2"), ({"axis": 0, "fused_activation_function": "RELU"}, "Put a RELU")]
)
def test_what_cannot_be_is_refused(options, message, operate):
    with pytest.raises(UnsupportedOp, match=message):
        operate("CONCATENATION", ([[1.0]], "float32"), out=((1, 1), "float32"), **options)
