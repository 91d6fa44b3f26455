import numpy as np


def test_int8_difference_on_three_grids(operate, on):
    # 2.0 - 1.0 = 1.0
    a, b = ([[4]], "int8", on(0.5)), ([[5]], "int8", on(0.25, 1))
    assert operate("SUB", a, b, out=((1, 1), "int8", on(0.5, -3))).tolist() == [[-1]]


def test_float_difference(operate):
    y = operate("SUB", ([[1.0, -3.0]], "float32"), ([[2.0, 1.0]], "float32"), out=((1, 2), "float32"))
    np.testing.assert_array_equal(y, [[-1, -4]])
