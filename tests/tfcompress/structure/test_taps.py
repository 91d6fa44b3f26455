"""How often each tap of a kernel sees the input: counted by a kernel that has that tap only."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.structure.taps import seen
from tfcompress.structure.trace import trace

LAYERS = [
    layers.Conv2D(1, 3, padding="same", use_bias=False),
    layers.Conv2D(1, (3, 2), strides=2, padding="same", use_bias=False),
    layers.Conv2D(1, 4, padding="valid", use_bias=False),
    layers.Conv2D(1, 3, dilation_rate=2, padding="same", use_bias=False),
    layers.DepthwiseConv2D(5, strides=2, padding="same", use_bias=False),
    layers.Conv2DTranspose(1, 3, strides=2, padding="same", use_bias=False),
    layers.Conv2DTranspose(1, 2, strides=2, padding="valid", use_bias=False),
    layers.Conv2DTranspose(1, 4, strides=2, padding="same", use_bias=False),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{type(layer).__name__}_{layer.padding}")
def test_shares_are_the_means_of_single_taps_on_ones(layer):
    model = keras.Sequential([keras.Input((7, 6, 1)), layer])
    taps = int(np.prod(layer.kernel_size))
    expected = []
    for k in range(taps):
        layer.kernel.assign(np.eye(taps)[k].reshape(layer.kernel.shape))
        expected.append(np.mean(model(np.ones((1, 7, 6, 1), np.float32))))
    call = trace(model).calls[-1]
    np.testing.assert_allclose(seen(layer, call.inputs[0], call.outputs[0]), expected, rtol=1e-6)


def test_a_causal_convolution_looks_back():
    model = keras.Sequential([keras.Input((4, 1)), layers.Conv1D(1, 3, padding="causal")])
    call = trace(model).calls[-1]
    np.testing.assert_allclose(seen(call.layer, call.inputs[0], call.outputs[0]), [0.5, 0.75, 1])


@pytest.mark.parametrize(("layer", "share"), [(layers.Conv2D, 1.0), (layers.Conv2DTranspose, 1 / 4)])
def test_sizes_that_are_not_known_count_as_large(layer, share):
    model = keras.Sequential([keras.Input((None, None, 1)), layer(1, 3, strides=2, padding="same")])
    call = trace(model).calls[-1]
    np.testing.assert_allclose(seen(call.layer, call.inputs[0], call.outputs[0]), share)
