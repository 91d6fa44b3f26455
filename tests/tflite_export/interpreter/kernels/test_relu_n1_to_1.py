def test_int8_moves_to_the_grid_of_the_output(operate, on):
    # real values -1.5, 0.5, 62.0
    x = ([[0, 4, 127]], "int8", on(0.5, 3))
    assert operate("RELU_N1_TO_1", x, out=((1, 3), "int8", on(0.25, -100))).tolist() == [[-104, -98, -96]]


def test_float_is_cut_at_plus_and_minus_one(operate):
    assert operate("RELU_N1_TO_1", ([[-2.0, 9.0]], "float32"), out=((1, 2), "float32")).tolist() == [[-1, 1]]
