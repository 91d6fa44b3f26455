import numpy as np
import pytest

from tflite_export.flatbuffer import write
from tflite_export.interpreter import UnsupportedOp
from tflite_export.litert import LiteRT


def test_int8_shares_are_in_units_of_a_256th(operate, on):
    x = ([[0, 0, -128], [127, -128, -128]], "int8", on(0.5))
    y = operate("SOFTMAX", x, out=((2, 3), "int8", on(1 / 256, -128)), beta=1.0)
    assert y.tolist() == [[0, 0, -128], [127, -128, -128]]


def test_float_shares_survive_huge_logits(operate):
    y = operate("SOFTMAX", ([[1e30, 1e30]], "float32"), out=((1, 2), "float32"), beta=2.0)
    np.testing.assert_array_equal(y, [[0.5, 0.5]])


def test_other_output_grids_are_refused(operate, on):
    with pytest.raises(UnsupportedOp, match=r"'y'.*scale 1/256 and zero point -128"):
        operate("SOFTMAX", ([[1]], "int8", on(1.0)), out=((1, 1), "int8", on(1.0)), beta=1.0)


@pytest.mark.parametrize("beta, scale", [(1.0, 2.0**-26), (0.0, 1.0), (-1.0, 1.0)])
def test_scales_at_which_litert_aborts_are_refused(beta, scale, operate, on):
    with pytest.raises(UnsupportedOp, match=r"'input 0'.*over 2\*\*-26"):
        operate("SOFTMAX", ([[1]], "int8", on(scale)), out=((1, 1), "int8", on(1 / 256, -128)), beta=beta)


@pytest.mark.parametrize("length", [600, 5000])
def test_rows_too_flat_for_the_reference_kernel_come_out_as_the_other_kernels_have_them(
    length, operate, on, tensor, graph_of
):
    out = ((1, length), "int8", on(1 / 256, -128))
    y = operate("SOFTMAX", (np.full((1, length), 7), "int8", on(1.0)), out=out, beta=1.0)
    graph = graph_of("SOFTMAX", [tensor("x", (1, length), "int8", on(1.0))], tensor("y", *out), beta=1.0)
    with LiteRT("optimized") as litert:
        theirs = litert.run(write(graph), [np.full((1, length), 7, np.int8)])[1]
    np.testing.assert_array_equal(y, theirs)
