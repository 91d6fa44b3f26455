import math

import numpy as np
import pytest


@pytest.mark.parametrize("approximate", [False, True])
def test_values_are_weighted_by_the_normal_distribution(approximate, operate):
    x = np.linspace(-4, 4, 33, dtype=np.float32)[None]
    y = operate("GELU", (x, "float32"), out=(x.shape, "float32"), approximate=approximate)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x[0]]
    np.testing.assert_allclose(y[0], exact, atol=6e-4 if approximate else 1e-6)


def test_the_approximation_is_another_function(operate):
    x = (np.linspace(-3, 3, 50)[None], "float32")
    exact, tanh = (operate("GELU", x, out=((1, 50), "float32"), approximate=a) for a in (False, True))
    assert 1e-5 < np.abs(exact - tanh).max() < 1e-3


def test_int8_rounds_what_float32_gives(operate, on):
    y = operate("GELU", ([[10, 0, -10]], "int8", on(0.1)), out=((1, 3), "int8", on(0.01)))
    assert y.tolist() == [[84, 0, -16]]
