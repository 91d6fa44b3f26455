"""Results for every code by a function on float32."""

import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp
from tflite_export.interpreter.tables import float_table
from tflite_export.ir import Op


def table(tensor, on, function, scale):
    return float_table(
        Op("ELU", (0,), (1,)), [tensor("x", (1,), "int8", on(0.5, 1)), tensor("y", (1,), "int8", scale)], function
    )


def test_the_place_of_a_code_is_its_byte(tensor, on):
    codes = table(tensor, on, lambda x: x, on(0.5, 1))
    np.testing.assert_array_equal(codes, np.arange(256).astype(np.int8))


def test_halves_round_away_from_zero_and_ends_saturate(tensor, on):
    codes = table(tensor, on, lambda x: x * np.float32(0.5), on(0.5, 0))
    assert codes[2] == 1 and codes[0] == -1
    assert table(tensor, on, lambda x: x * np.float32(9), on(0.5, 0)).max() == 127


def test_scales_that_leave_int32_are_refused(tensor, on):
    with pytest.raises(UnsupportedOp, match="the scale is too small"):
        table(tensor, on, lambda x: x, on(1e-12))
