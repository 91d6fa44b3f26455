"""The table of lowerings."""

import keras
from keras import layers

from tflite_export.from_keras.table import EXPANDED, LOWERINGS, MERGING

PROMISED = (
    layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense, layers.BatchNormalization, layers.ReLU,
    layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.Add, layers.Concatenate,
    layers.Flatten, layers.Reshape, layers.ZeroPadding2D, layers.Dropout, layers.Softmax, layers.Rescaling,
    layers.Activation, layers.InputLayer, layers.Identity, layers.SpatialDropout2D,
)  # fmt: skip


def test_every_promised_layer_has_a_lowering() -> None:
    assert not [kind for kind in PROMISED if kind not in (*LOWERINGS, *EXPANDED)]


def test_keys_are_layer_types() -> None:
    assert all(issubclass(kind, keras.layers.Layer) for kind in (*LOWERINGS, *MERGING))
