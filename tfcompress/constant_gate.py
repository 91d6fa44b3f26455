"""Layers that multiply each channel by a number, at inference by the same number for every input.

A factor of zero says that the channel is not used: ``edits.remove_channels`` takes such channels out of the network.
The other factors go into the weights next to the gate, and the gate is gone. So a technique that learns which
channels are needed is one gate, and knows nothing of the networks that it is put into.
"""

from typing import Any

import keras
import numpy as np


class ConstantGate(keras.layers.Layer):
    """Base class of layers that scale channels, which are the last axis.

    Subclasses define ``factor`` and ``call``; ``call(x, training=False)`` is ``x * factor``. State is float32 whatever
    the global dtype policy.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.supports_masking = True

    @property
    def factor(self) -> np.ndarray:
        """What each channel is multiplied by at inference; float32, one per channel, 0 for channels not used."""
        raise NotImplementedError(f"{type(self).__name__} must define `factor`.")

    @property
    def importance(self) -> np.ndarray:
        """How much each channel matters, compared with the others of this gate; not negative, one per channel."""
        return np.abs(self.factor)

    @property
    def keep(self) -> np.ndarray:
        """True for the channels that inference uses; one per channel."""
        return np.asarray(self.factor != 0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Gates keep the shape."""
        return input_shape
