import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp

FILTERS = np.array([1, 2, 3], np.float32).reshape(1, 1, 3, 1)
LINE = np.array([1, 10], np.float32).reshape(1, 1, 2, 1)


def convolved(operate, length, padding, on=None):
    """A line of two pixels, spread by three weights with stride 2."""
    dtype, grids = ("float32", ()) if on is None else ("int8", (on(1.0),))
    x, weights = (LINE, dtype, *grids), (FILTERS, dtype, *grids)
    bias = ([5], "float32") if on is None else ([5], "int32", on(1.0))
    shape = ([1, 1, length, 1], "int32")
    operands = [x, shape, weights, bias]
    options = {"padding": padding, "stride_h": 1, "stride_w": 2}
    return operate(
        "TRANSPOSE_CONV", *operands, out=((1, 1, length, 1), dtype, *grids), order=(1, 2, 0, 3), **options
    ).ravel()


def test_windows_add_up_where_they_overlap(operate_in_order, on):
    expected = [1 + 5, 2 + 5, 3 + 10 + 5, 20 + 5, 30 + 5]
    assert convolved(operate_in_order, 5, "VALID").tolist() == expected
    assert convolved(operate_in_order, 5, "VALID", on).tolist() == expected


def test_padding_same_cuts_the_border(operate_in_order):
    assert convolved(operate_in_order, 4, "SAME").tolist() == [6, 7, 18, 25]


def test_an_output_that_does_not_lead_to_the_input_is_refused(operate_in_order):
    with pytest.raises(UnsupportedOp, match="no such convolution"):
        convolved(operate_in_order, 9, "VALID")


@pytest.fixture
def operate_in_order(tensor, graph_of):
    """As ``operate``, with the operands behind the input in the given order."""
    from tflite_export.interpreter import Executor
    from tflite_export.ir import Tensor

    def run(kind, x, *constants, out, order, **options):
        operands = [tensor(f"input {k}", *operand) for k, operand in enumerate((x, *constants))]
        fed = operands[0]
        operands[0] = Tensor(fed.name, fed.shape, fed.dtype, fed.quantization)
        graph = graph_of(kind, [operands[k] for k in order], tensor("y", *out), **options)
        return Executor(graph).run([fed.data])[graph.outputs[0]]

    return run
