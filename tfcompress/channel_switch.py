"""Layers that let each channel of a feature map through or not, input by input.

    y[n, ..., c] = x[n, ..., c] * 1[logits[n, c] > 0]        at inference

Unlike the factors of a ``ConstantGate``, the decision depends on the input. So the product stays in the network; the
exporter writes a ``Step`` and a ``Multiply`` in standard ops, and whoever runs the file may leave out what is
multiplied by zero.
"""

from typing import Any

import keras
from keras import ops


class ChannelSwitch(keras.layers.Layer):
    """Base class of layers called on ``[features, logits]``: a feature map, and one number per sample and channel.

    Subclasses define ``gates`` for training; at inference a channel is on where its logit is above zero. ``logits`` are
    (batch, channels) or (batch, 1, ..., 1, channels). State is float32 whatever the global dtype policy; the feature
    map keeps its dtype.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs, "autocast": False})

    def gates(self, logits: Any) -> Any:
        """What each channel is multiplied by in training; float32, the shape of ``logits``, with a gradient."""
        raise NotImplementedError(f"{type(self).__name__} must define `gates`.")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The features times the gates."""
        features, logits = inputs
        logits = ops.cast(logits, "float32")
        gates = self.gates(logits) if training else ops.cast(logits > 0, "float32")
        shape = (-1, *[1] * (len(features.shape) - 2), features.shape[-1])
        return features * ops.cast(ops.reshape(gates, shape), features.dtype)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Shape and dtype of the features."""
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)


class Step(keras.layers.Layer):
    """``1[x > 0]``, any shape; what a switch does to its logits at inference, as a layer of its own."""

    def call(self, x: Any) -> Any:
        """Zeros and ones, float32."""
        return ops.cast(x > 0, "float32")
