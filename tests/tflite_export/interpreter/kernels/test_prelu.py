import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_each_channel_has_its_slope(operate):
    x, slopes = ([[[-4.0, -4.0], [4.0, 4.0]]], "float32"), ([[0.5, -1.0]], "float32")
    np.testing.assert_array_equal(operate("PRELU", x, slopes, out=((1, 2, 2), "float32")), [[[-2, 4], [4, 4]]])


def test_int8_multiplies_distances_from_the_zero_points(operate, on):
    x, slopes = ([[-7, 13]], "int8", on(0.5, 3)), ([[20, 20]], "int8", on(0.1, 10))
    assert operate("PRELU", x, slopes, out=((1, 2), "int8", on(0.5))).tolist() == [[-10, 10]]


def test_slopes_that_do_not_broadcast_are_refused(operate):
    with pytest.raises(UnsupportedOp, match="do not broadcast"):
        operate("PRELU", ([[1.0]], "float32"), ([[1.0, 1.0]], "float32"), out=((1, 1), "float32"))


def test_int16_has_slopes_of_8_bits(operate, on):
    x, slopes = ([[-700, 1300]], "int16", on(0.5)), ([[20, 20]], "int8", on(0.1, 10))
    assert operate("PRELU", x, slopes, out=((1, 2), "int16", on(0.5))).tolist() == [[-700, 1300]]
    with pytest.raises(UnsupportedOp, match="expected type int8. Received: int16"):
        operate("PRELU", x, ([[20, 20]], "int16", on(0.1)), out=((1, 2), "int16", on(0.5)))
