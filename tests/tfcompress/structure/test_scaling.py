"""Layers under channels that are multiplied."""

import numpy as np
import pytest
from keras import layers

from tfcompress.structure.scaling import factors, multiply, scales_along

MIXED, POSITIVE = np.array([-1.0, 2.0]), np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("layer", "positive", "any_sign"),
    [
        (layers.AveragePooling2D(2), True, True),
        (layers.MaxPooling2D(), True, False),
        (layers.ReLU(), True, False),
        (layers.ReLU(negative_slope=0.2), True, False),
        (layers.ReLU(6), False, False),
        (layers.ReLU(threshold=1.0), False, False),
        (layers.LeakyReLU(), True, False),
        (layers.Activation("linear"), True, True),
        (layers.Activation("tanh"), False, False),
    ],
)
def test_what_lets_factors_through(layer, positive, any_sign):
    assert (scales_along(layer, POSITIVE), scales_along(layer, MIXED)) == (positive, any_sign)
    x = np.random.default_rng(0).normal(scale=9, size=(2, 4, 4, 2)).astype(np.float32)
    for factor, said in ((POSITIVE, positive), (MIXED, any_sign)):
        factor = factor.astype(np.float32)
        assert np.allclose(layer(x * factor), np.asarray(layer(x)) * factor, atol=1e-5) == said


def test_a_convolution_takes_factors_of_its_input_and_output():
    layer = layers.Conv2D(3, 1)
    layer.build((None, 4, 4, 2))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
    ends = np.array([0.5, 3.0]), np.array([1.0, 2.0, -1.0])
    before = np.asarray(layer(x * ends[0].astype(np.float32)))
    assert factors(layer, *ends).keys() == {"kernel", "bias"}
    multiply(layer, *ends)
    np.testing.assert_allclose(layer(x), before * ends[1], rtol=1e-5, atol=1e-6)
