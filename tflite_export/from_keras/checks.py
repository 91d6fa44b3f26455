"""What several lowerings demand of a layer."""

from typing import Any

from tflite_export.from_keras.grids import Unsupported


def channels_last(layer: Any) -> Any:
    """The layer, if its images are (height, width, channels)."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":  # Cropping1D knows no other
        raise Unsupported("data_format='channels_first'; supported is 'channels_last'")
    return layer
