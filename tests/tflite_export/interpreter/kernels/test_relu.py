def test_int8_moves_to_the_grid_of_the_output(operate, on):
    # real values -1.5, 1.0, 62.0
    x = ([[0, 5, 127]], "int8", on(0.5, 3))
    assert operate("RELU", x, out=((1, 3), "int8", on(0.25, -100))).tolist() == [[-100, -96, 127]]


def test_float_is_cut_at_zero(operate):
    assert operate("RELU", ([[-1.0, 9.0]], "float32"), out=((1, 2), "float32")).tolist() == [[0, 9]]
