import keras
import numpy as np
from keras import layers

from tfcompress.structure.channels import Channels
from tfcompress.structure.select_channels import select_channels
from tfcompress.structure.trace import trace


def test_channels_can_go_and_can_come_twice():
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.Flatten()]
    model = keras.Sequential([keras.Input((5, 5, 2)), *stack, layers.Dense(2, name="head")])
    model.get_layer("norm").gamma.assign([1.0, 2.0, 3.0])
    channels = Channels(trace(model))
    number = {call.path: channels.numbers[call.outputs[0]] for call in channels.trace.calls}["conv"]
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 2)).astype(np.float32)
    whole = np.asarray(keras.Sequential(model.layers[:2])(x))
    for order in ([0, 2], [0, 1, 1, 2]):
        counts = np.ones(channels.count, int)
        counts[number] = [order.count(k) for k in range(3)]
        chosen = {v: np.repeat(np.arange(len(n)), counts[n]) for v, n in channels.numbers.items()}
        other = select_channels(model, channels, chosen)
        np.testing.assert_allclose(keras.Sequential(other.layers[:2])(x), whole[..., order], atol=1e-5)
        kernel = model.get_layer("head").kernel.numpy().reshape(9, 3, 2)[:, order].reshape(-1, 2)
        np.testing.assert_array_equal(other.get_layer("head").kernel, kernel)
    assert model.get_layer("norm").gamma.shape == (3,)
