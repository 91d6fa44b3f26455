"""INT4 by Keras' own fake-quant operation: what a user writes who has no tool. A row of ``peers.py``.

Batch norms are folded first. Kernels get 15 levels from their largest magnitude, per channel in convolutions and per
tensor in Dense layers, where the converter takes no other; maps get 256 levels from moving averages of their ranges.
Minima and maxima are stored weights: the converter folds no computed ones.
"""

from typing import Any

import fashion
import keras
import numpy as np
from keras import layers, ops

MOMENTUM = 0.99
ROUND = keras.quantizers.fake_quant_with_min_max_vars


class Ranged(layers.Layer):
    """Holds minima and maxima."""

    def range(self, name: str, shape: tuple[int, ...]) -> list[Any]:
        """Minimum and maximum."""
        ends = (("low", -1.0), ("high", 1.0))
        make = keras.initializers.Constant
        return [self.add_weight(shape=shape, initializer=make(v), trainable=False, name=name + end) for end, v in ends]


class Map(Ranged):
    """256 levels."""

    def build(self, input_shape: Any) -> None:
        """Creates the range."""
        self.ends = self.range("map_", ())

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Rounded, the range moved in training."""
        if training:
            for end, found in zip(self.ends, (ops.min(x), ops.max(x)), strict=True):
                end.assign(MOMENTUM * end + (1 - MOMENTUM) * found)
        return ROUND(x, *self.ends, num_bits=8)


class Kernel(Ranged):
    """A convolution or Dense layer, its kernel in 15 levels."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.activation = (kernel, bias), keras.activations.get(activation)
        self.axis = 3 if kernel.ndim == 4 else None

    def build(self, input_shape: Any) -> None:
        """Creates weights and their range."""
        self.kernel, self.bias = (self.add_weight(shape=value.shape) for value in self.first)
        self.kernel.assign(self.first[0])
        self.bias.assign(self.first[1])
        self.ends = self.range("kernel_", (self.kernel.shape[-1],) if self.axis else ())

    def call(self, x: Any, training: bool | None = None) -> Any:
        """With rounded weights."""
        if training:
            top = ops.max(ops.abs(self.kernel), axis=(0, 1, 2) if self.axis else None)
            self.ends[0].assign(-top)
            self.ends[1].assign(top)
        kernel = ROUND(self.kernel, *self.ends, num_bits=4, narrow_range=True, axis=self.axis)
        y = ops.conv(x, kernel, padding="same") if self.axis else ops.matmul(x, kernel)
        return self.activation(y + self.bias)


def folded(model: keras.Model, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution with its batch norm."""
    norm = model.get_layer(f"norm{k}")
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return model.get_layer(f"conv{k}").get_weights()[0] * factor, beta - mean * factor


def network(model: keras.Model) -> keras.Model:
    """The float network with rounded kernels and maps."""
    inputs = keras.Input((28, 28, 1), name="image")
    x = Map(name="image_map")(inputs)
    for k in range(3):
        x = Map(name=f"map{k}")(Kernel(*folded(model, k), "relu", name=f"conv{k}")(x))
        x = layers.MaxPooling2D(name=f"pool{k}")(x) if k < 2 else x
    x = layers.Flatten(name="flat")(x)
    for name, activation in (("fc0", "relu"), ("fc1", "linear")):
        x = Map(name=f"{name}_map")(Kernel(*model.get_layer(name).get_weights(), activation, name=name)(x))
    return keras.Model(inputs, x)


def trained(of: fashion.Data, seed: int) -> keras.Model:
    """Behind six epochs."""
    return fashion.fine_tuned(network(fashion.float_network(of, seed)), of, seed)
