"""Layers that only speak through the loss, wherever structure is looked at."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.pass_through import PassThrough
from tfcompress.structure.groups import groups
from tfcompress.structure.trace import trace


@keras.saving.register_keras_serializable("tests")
class Counting(PassThrough):
    """Counts its training calls."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def observe(self, x):
        self.count.assign(self.count + 1)
        self.add_loss(0.5 * keras.ops.mean(x))


def network(**conv):
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(8, 3, name="conv", **conv), tfc.layers.LagrangeNormalization("channel", name="normal")]
    stack += [Counting(name="counting"), layers.ReLU(name="relu"), layers.Flatten(), layers.Dense(3, name="head")]
    return keras.Sequential([keras.Input((6, 6, 2)), *stack])


def test_it_delivers_its_input_and_acts_in_training_only():
    layer, x = Counting(), np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(layer(x, training=False), x)
    assert float(layer.count) == 0 and layer.losses == []
    np.testing.assert_array_equal(layer(x, training=True), x)
    assert float(layer.count) == 1 and [float(loss) for loss in layer.losses] == [0.5]
    assert layer.supports_masking


def test_what_fuses_fuses_across_it():
    found = [[call.path for call in group.members] for group in groups(trace(network()))]
    assert found[1] == ["conv", "normal", "counting", "relu"]
    small = tfc.compress(network(), {".*": {"output": tfc.LSQ(bits=8)}})
    behind = [b.name for a, b in zip(small.layers, small.layers[1:]) if isinstance(b, tfc.LSQ) and a.name == "relu"]
    assert len(behind) == 1 and len([x for x in small.layers if isinstance(x, tfc.LSQ)]) == 3


def test_channels_are_removed_across_it_and_its_state_with_them():
    model, x = network(), np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)
    kernel = model.get_layer("conv").kernel
    kernel.assign(kernel * np.array([1, 0, 1, 1, 0, 1, 1, 1], np.float32))
    model.get_layer("normal").mean_multiplier.assign(np.arange(8, dtype=np.float32))
    small = tfc.edits.remove_channels(model)
    assert small.get_layer("conv").filters == 6
    np.testing.assert_array_equal(small.get_layer("normal").mean_multiplier, [0, 2, 3, 5, 6, 7])
    np.testing.assert_allclose(small(x), model(x), atol=1e-5)


def test_stripped_it_is_gone():
    model, x = network(), np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)
    plain = tfc.strip(model)
    assert [layer.name for layer in plain.layers] == ["conv", "relu", model.layers[4].name, "head"]
    np.testing.assert_array_equal(plain(x), model(x))


def test_a_layer_without_observe_says_so():
    with pytest.raises(NotImplementedError, match="PassThrough must define `observe`"):
        PassThrough()(np.ones((1, 2)), training=True)
