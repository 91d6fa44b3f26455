"""Layers that deliver their input as it is, in training too, and speak through the loss alone.

What such a layer is for has happened when training ends: the exporter forwards its input, whatever fuses across it
does so, and edits see an ``Identity``.
"""

from typing import Any

import keras


class PassThrough(keras.layers.Layer):
    """Base class of layers whose output is their input, bit for bit.

    Subclasses define ``observe``. State is float32 whatever the global dtype policy; the input keeps its dtype.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs, "autocast": False})
        self.supports_masking = True

    def observe(self, x: Any) -> None:
        """Adds to the loss and changes state, in training only; ``x`` is the feature map."""
        raise NotImplementedError(f"{type(self).__name__} must define `observe`.")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Returns ``x``."""
        if training:
            self.observe(x)
        return x

    def compute_output_spec(self, x: Any, training: bool | None = None) -> Any:
        """Shape and dtype of the input."""
        return keras.KerasTensor(x.shape, x.dtype)
