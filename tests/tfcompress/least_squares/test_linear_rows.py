"""Rows times kernels are what Keras computes, for every kind of layer, window and padding."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.least_squares.linear_rows import ROWS, at_positions

CASES = [
    (layers.Dense(5), (7,)),
    (layers.Dense(5), (4, 4, 3)),
    (layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same"), (7, 6, 3)),
    (layers.Conv2D(4, 3, dilation_rate=2), (7, 7, 3)),
    (layers.Conv2D(4, 3, dilation_rate=(1, 2), padding="same"), (6, 7, 3)),
    (layers.Conv2D(6, 3, strides=2, padding="same", groups=3), (6, 6, 3)),
    (layers.Conv1D(4, 3, padding="causal", dilation_rate=2), (9, 3)),
    (layers.Conv1D(4, 5, strides=3, padding="same"), (10, 3)),
    (layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2), (7, 7, 3)),
    (layers.DepthwiseConv1D(3, depth_multiplier=2), (7, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), CASES, ids=[f"{type(c[0]).__name__}-{k}" for k, c in enumerate(CASES)])
def test_rows_times_weights_are_the_outputs(layer, shape):
    rng = np.random.default_rng(0)
    layer = type(layer).from_config({**layer.get_config(), "use_bias": False})
    z = rng.normal(size=(2, *shape)).astype(np.float32)
    y = keras.ops.convert_to_numpy(layer(z))
    places = int(np.prod(y.shape[1:-1]))
    positions = np.sort(rng.choice(places, min(places, 5), replace=False))
    kind = ROWS[type(layer)]
    a = kind.take(layer, z, positions)
    weights = rng.normal(size=(a.shape[1], a.shape[2], y.shape[-1] // a.shape[1]))
    for slot, kernel in kind.kernels(layer, weights).items():
        getattr(layer, slot).assign(kernel)
    expected = at_positions(keras.ops.convert_to_numpy(layer(z)), positions)
    found = np.einsum("rbn,bno->rbo", a, weights).reshape(len(a), -1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [layers.SeparableConv1D, layers.SeparableConv2D])
def test_a_separable_convolution_gets_both_kernels(kind):
    rank = 1 if kind is layers.SeparableConv1D else 2
    source, target = (kind(4, 3, padding="same", depth_multiplier=2, use_bias=False) for _ in range(2))
    z = np.random.default_rng(0).normal(size=(2, *[6] * rank, 3)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(source(z))
    target(z)
    wide = keras.ops.convert_to_numpy(source.depthwise_kernel).reshape(-1, 3, 2)
    deep = keras.ops.convert_to_numpy(source.pointwise_kernel).reshape(3, 2, 4)
    whole = np.einsum("tcm,cmo->tco", wide, deep).reshape(1, -1, 4)
    for slot, kernel in ROWS[kind].kernels(target, whole).items():
        getattr(target, slot).assign(kernel)
    np.testing.assert_allclose(target(z), expected, atol=1e-5)
