import pytest

from tflite_export.interpreter import UnsupportedOp


def test_border_is_the_third_input(operate, on):
    x, widths, value = ([[7]], "int8", on(0.5, 3)), ([[0, 0], [1, 2]], "int32"), ([-9], "int8", on(0.5, 3))
    assert operate("PADV2", x, widths, value, out=((1, 4), "int8", on(0.5, 3))).tolist() == [[-9, 7, -9, -9]]


def test_border_must_be_on_the_grid_of_the_output(operate, on):
    x, widths, value = ([[7]], "int8", on(0.5, 3)), ([[0, 0], [1, 2]], "int32"), ([-9], "int8", on(0.25, 3))
    with pytest.raises(UnsupportedOp, match=r"'input 2'"):
        operate("PADV2", x, widths, value, out=((1, 4), "int8", on(0.5, 3)))
