import numpy as np


def test_negative_values_decay(operate):
    y = operate("ELU", ([[2.0, 0.0, -1.0]], "float32"), out=((1, 3), "float32"))
    np.testing.assert_allclose(y, [[2, 0, np.exp(-1) - 1]], rtol=1e-6)


def test_int8_rounds_what_float32_gives(operate, on):
    y = operate("ELU", ([[20, 0, -10, -128]], "int8", on(0.1)), out=((1, 4), "int8", on(1 / 64)))
    assert y.tolist() == [[127, 0, -40, -64]]
