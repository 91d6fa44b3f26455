import numpy as np
import pytest

from tflite_export.interpreter import UnsupportedOp


def test_float_values_are_gated(operate):
    y = operate("HARD_SWISH", ([[-4.0, -1.0, 0.0, 1.0, 4.0]], "float32"), out=((1, 5), "float32"))
    np.testing.assert_allclose(y, [[0, -1 / 3, 0, 2 / 3, 4]], rtol=1e-6)


def test_int8_is_within_a_step_of_float(operate, on):
    codes = np.arange(-128, 128)[None]
    y = operate("HARD_SWISH", (codes, "int8", on(0.05)), out=((1, 256), "int8", on(0.03, -100)))
    x = codes * 0.05
    expected = np.clip(np.rint(x * np.clip(x + 3, 0, 6) / 6 / 0.03) - 100, -128, 127)
    assert np.abs(y - expected).max() <= 1


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_scales_that_the_shifts_do_not_reach_are_refused(scale, operate, on):
    with pytest.raises(UnsupportedOp, match=r"must lie in \[1, 2\*\*15\]"):
        operate("HARD_SWISH", ([[1]], "int8", on(1.0)), out=((1, 1), "int8", on(scale)))
