import numpy as np

from tflite_export.interpreter.inverse_root import inverse_square_root


def test_roots_are_near_the_real_ones_over_the_whole_range():
    d = np.unique(np.concatenate([np.arange(2, 3000), 2 ** np.arange(2, 31), 2 ** np.arange(2, 31) - 1, [2**31 - 1]]))
    m, shift = inverse_square_root(d)
    assert m.min() >= 0 and m.max() < 2**31
    np.testing.assert_allclose(m * 2.0 ** (shift - 31), d**-0.5, rtol=2e-6)


def test_nothing_and_one_have_the_largest_root():
    m, shift = inverse_square_root(np.array([0, 1]))
    assert m.tolist() == [2**31 - 1] * 2 and shift.tolist() == [0, 0]
