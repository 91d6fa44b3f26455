"""The matrix of a layer says what the layer computes."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.structure import slots
from tfcompress.structure.mixing import bias, covers, cuts, groups, mixing, scales
from tfcompress.structure.relations import DEPTHWISE

KINDS = [
    (lambda: layers.Dense(6), (4,)),
    (lambda: layers.Conv1D(6, 3), (3, 4)),
    (lambda: layers.Conv2D(6, 3), (3, 3, 4)),
    (lambda: layers.Conv2D(6, 3, groups=2), (3, 3, 4)),
    (lambda: layers.SeparableConv1D(6, 3), (3, 4)),
    (lambda: layers.SeparableConv2D(6, 3, depth_multiplier=2), (3, 3, 4)),
]
TRANSPOSED = [
    (lambda: layers.Conv1DTranspose(6, 3), (1, 4)),
    (lambda: layers.Conv2DTranspose(6, 3), (1, 1, 4)),
]
ALL = [*KINDS, *TRANSPOSED, (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (3, 3, 4))]


def built(make, shape):
    keras.utils.set_random_seed(0)
    layer = make()
    layer.build((None, *shape))
    for variable in layer.variables:
        variable.assign(keras.random.normal(variable.shape))
    return layer


@pytest.mark.parametrize(("make", "shape"), KINDS)
def test_the_matrix_computes_one_window(make, shape):
    layer, x = built(make, shape), np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    matrix = mixing(layer).matrix(layer)
    expected = np.einsum("ti,tio->o", x.reshape(-1, shape[-1]), matrix) + bias(layer)
    np.testing.assert_allclose(np.asarray(layer(x)).reshape(-1), expected, rtol=1e-4, atol=1e-5)
    assert covers(layer)


@pytest.mark.parametrize(("make", "shape"), TRANSPOSED)
def test_the_matrix_of_a_transposed_convolution_spreads_one_position(make, shape):
    layer, x = built(make, shape), np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    expected = np.einsum("i,tio->to", x.reshape(-1), mixing(layer).matrix(layer)) + bias(layer)
    np.testing.assert_allclose(np.asarray(layer(x)).reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    assert not covers(layer)


@pytest.mark.parametrize("layer", [layers.Conv2D(2, 3, padding="same"), layers.Conv1D(2, 3, padding="causal")])
def test_a_padded_window_is_not_covered(layer):
    assert not covers(layer)
    assert covers(layers.Conv2D(2, 1, padding="same"))


@pytest.mark.parametrize(("make", "shape"), ALL)
def test_scaled_weights_scale_inputs_and_outputs(make, shape):
    layer, rng = built(make, shape), np.random.default_rng(0)
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    before = np.asarray(layer(x * rng.uniform(1, 2, shape[-1]).astype(np.float32)))
    inputs = np.random.default_rng(0)
    inputs.normal(size=(2, *shape))
    inputs, outputs = inputs.uniform(1, 2, shape[-1]), rng.uniform(-2, 2, before.shape[-1])
    for slot, factor in scales(layer, inputs, outputs).items():
        variable = slots.variables(layer)[slot]
        variable.assign(slots.numpy(variable) * factor)
    np.testing.assert_allclose(np.asarray(layer(x)), before * outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("make", "shape"), ALL)
def test_cuts_name_axes_of_the_weights(make, shape):
    layer = built(make, shape)
    width = layer.compute_output_shape((1, *shape))[-1]
    everything = cuts(layer, np.arange(shape[-1]), np.arange(width))
    for slot, axes in everything.items():
        weight = slots.variables(layer)[slot]
        assert all(len(index) == weight.shape[axis] for axis, index in axes.items())
    assert groups(layer) in (1, 2) and (mixing(layer) is None) == (type(layer) in DEPTHWISE)
