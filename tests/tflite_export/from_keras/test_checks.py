"""Demands that several lowerings make."""

import pytest
from keras import layers

from tflite_export.from_keras.checks import channels_last
from tflite_export.from_keras.grids import Unsupported


def test_channels_last_passes_through() -> None:
    layer = layers.MaxPooling2D()
    assert channels_last(layer) is layer


def test_channels_first_is_refused() -> None:
    with pytest.raises(Unsupported, match="data_format='channels_first'; supported is 'channels_last'"):
        channels_last(layers.MaxPooling2D(data_format="channels_first"))
