"""The layer beside Conv2D with the same weights."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfcompress as tfc
from tfcompress.convolution.winograd import WinogradConv2D

X = np.random.default_rng(0).normal(size=(2, 9, 11, 4)).astype(np.float32)


def pair(filters=5, kernel=3, shape=X.shape, tile=2, **arguments):
    """The layer, and a Conv2D with its weights."""
    keras.utils.set_random_seed(0)
    ours = WinogradConv2D(filters, kernel, tile=tile, bias_initializer="normal", **arguments)
    ours.build(shape)
    arguments.pop("points", None)
    theirs = layers.Conv2D(filters, kernel, **arguments)
    theirs.build(shape)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


@pytest.mark.parametrize("tile", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 3, (1, 3), (5, 2)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_it_computes_what_conv2d_computes(tile, kernel, padding):
    ours, theirs = pair(kernel=kernel, tile=tile, padding=padding, activation="relu")
    assert ours(X).shape == theirs(X).shape == ours.compute_output_shape(X.shape)
    np.testing.assert_allclose(ours(X), theirs(X), atol=2e-5)


def test_it_computes_tile_by_tile_and_larger_tiles_lose_digits():
    errors = []
    for tile in (2, 4, 6):
        ours, theirs = pair(16, shape=(None, 24, 24, 64), tile=tile)
        x = np.random.default_rng(1).normal(size=(2, 24, 24, 64)).astype(np.float32)
        errors.append(float(np.sqrt(np.mean(np.square(ours(x) - theirs(x))))))
    assert 0 < errors[0] < errors[1] < errors[2] < 1e-3


def test_other_points_give_other_roundings_of_the_same_numbers():
    results = [pair(tile=4, points=points)[0](X) for points in (None, [0, 1, -1, "1/2", -2], [0, 1, -1, 2, "1/3"])]
    for result in results[1:]:
        assert np.any(result != results[0])
        np.testing.assert_allclose(result, results[0], atol=1e-4)


def test_gradients_are_those_of_conv2d():
    import tensorflow as tf

    found = []
    for layer in pair(tile=3, padding="same"):
        x = tf.Variable(X)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x)))
        found.append(tape.gradient(loss, [x, layer.kernel.value, layer.bias.value]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def network(kind, **arguments):
    keras.utils.set_random_seed(0)
    stack = [kind(6, 3, padding="same", name="conv", **arguments), layers.ReLU(name="relu")]
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((None, None, 4)), *stack])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


DATA = (np.random.default_rng(1).normal(size=(32, 7, 9, 4)).astype(np.float32), np.ones((32, 3), np.float32))


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"jit_compile": True}])
def test_it_trains_as_conv2d_does_on_images_of_unknown_size(options):
    models = [network(WinogradConv2D), network(layers.Conv2D)]
    for model in models:
        model.compile(keras.optimizers.SGD(0.1), "mse", **options)
        model.fit(*DATA, batch_size=8, shuffle=False, verbose=0)
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_it_reloads_equal(tmp_path):
    model = network(WinogradConv2D, tile=4, points=[0, 1, -1, "1/2", -2])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.get_layer("conv").algorithms == model.get_layer("conv").algorithms
    np.testing.assert_array_equal(again(DATA[0]), model(DATA[0]))


def test_it_is_compressed_and_loses_channels_as_conv2d_does():
    model = network(WinogradConv2D)
    small = tfc.compress(model, {"conv": {"kernel": tfc.LSQ(bits=3)}})
    tfc.calibrate(small, DATA[0])
    wrapped = small.get_layer("conv")
    kernel, grid = tfc.deployed(wrapped, "kernel")
    assert grid.bits == 3 and np.size(grid.scale) == 6
    plain = layers.Conv2D(6, 3, padding="same")
    plain.build(DATA[0].shape)
    plain.set_weights([kernel, wrapped.layer.bias.numpy()])
    np.testing.assert_allclose(wrapped(DATA[0]), plain(DATA[0]), atol=1e-5)

    conv = model.get_layer("conv")
    conv.kernel.assign(conv.kernel * np.array([1, 0, 1, 1, 0, 1], np.float32))
    cut = tfc.edits.remove_channels(model)
    assert isinstance(cut.get_layer("conv"), WinogradConv2D) and cut.get_layer("conv").filters == 4
    np.testing.assert_allclose(cut(DATA[0]), model(DATA[0]), atol=1e-5)


def test_stripped_it_is_a_conv2d():
    model = tfc.compress(network(WinogradConv2D, tile=4), {"conv": {"kernel": tfc.LSQ(bits=3)}})
    tfc.calibrate(model, DATA[0])
    plain = tfc.strip(model)
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in network(layers.Conv2D).layers]
    np.testing.assert_allclose(plain(DATA[0]), model(DATA[0]), atol=1e-5)


def test_under_mixed_precision_the_transforms_stay_float32():
    ours, _ = pair(tile=6, shape=(None, 24, 24, 64), dtype="mixed_bfloat16")
    exact, _ = pair(tile=6, shape=(None, 24, 24, 64))
    x = np.random.default_rng(1).normal(size=(1, 24, 24, 64)).astype(np.float32)
    y, expected = ours(x), exact(np.array(ops.cast(ops.cast(x, "bfloat16"), "float32")))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(ops.cast(y, "float32"), expected, atol=0.02 * scale)


@pytest.mark.parametrize(
    "arguments", [{"strides": 2}, {"dilation_rate": 2}, {"groups": 2}, {"data_format": "channels_first"}]
)
def test_what_the_algorithm_is_not_for_is_refused(arguments):
    with pytest.raises(ValueError, match="'w' must have strides, dilation_rate and groups of 1 and channels last.*Use"):
        WinogradConv2D(4, 3, name="w", **arguments)


def test_points_must_fit_tile_and_kernel():
    with pytest.raises(ValueError, match=r"F\(4, 3\) needs 5 distinct finite points. Received: 3"):
        WinogradConv2D(4, 3, tile=4, points=[0, 1, -1])


PEER = """
import json, keras, numpy as np
from tfcompress.layers import WinogradConv2D
layer = WinogradConv2D(2, 3, tile=4, padding="same", kernel_initializer="ones")
x = np.arange(98, dtype="float32").reshape(1, 7, 7, 2) / 98
y = np.asarray(layer(x))
model = keras.Sequential([keras.Input((7, 7, 2)), layer, keras.layers.GlobalAveragePooling2D()])
model.compile("sgd", "mse"); model.fit(x, np.zeros((1, 2)), verbose=0)
print(json.dumps([y.tolist(), np.asarray(layer.kernel).tolist()]))
"""


@pytest.mark.slow
def test_jax_agrees(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    made = subprocess.run([sys.executable, "-c", PEER], capture_output=True, text=True, check=True).stdout
    y, kernel = map(np.array, json.loads(made.splitlines()[-1]))
    conv = layers.Conv2D(2, 3, padding="same", kernel_initializer="ones")
    x = np.arange(98, dtype="float32").reshape(1, 7, 7, 2) / 98
    np.testing.assert_allclose(y, conv(x), atol=1e-4)
    model = keras.Sequential([keras.Input((7, 7, 2)), conv, layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((1, 2)), verbose=0)
    np.testing.assert_allclose(kernel, conv.kernel.numpy(), rtol=1e-4)
