"""Layers that multiply each channel by a number and add one, at inference the same for every input.

    y = factor * x + offset,      per channel

What stands in front, a convolution or Dense layer, takes both into its weights: the exporter folds such a layer as it
folds a batch norm, and never asks by which technique the numbers came about.
"""

from typing import Any

import keras
import numpy as np


class ChannelAffine(keras.layers.Layer):
    """Base class of layers that are affine by channel at inference.

    Subclasses define ``factor``, ``offset`` and ``call``, and have ``axis``, the axis of the channels;
    ``call(x, training=False)`` is ``factor * x + offset``.
    """

    axis: int

    @property
    def factor(self) -> np.ndarray:
        """What each channel is multiplied by at inference; float32, one per channel."""
        raise NotImplementedError(f"{type(self).__name__} must define `factor`.")

    @property
    def offset(self) -> np.ndarray:
        """What is added to each channel at inference; float32, one per channel."""
        raise NotImplementedError(f"{type(self).__name__} must define `offset`.")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape
