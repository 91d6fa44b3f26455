"""Where the channels of an output come from."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.layers import PowerOfTwoBatchNormalization
from tfcompress.structure.relations import FOLLOWING, Unknown, follows
from tfcompress.structure.trace import trace


def entries_of(layer, *shapes):
    """What the relation of ``layer`` makes of the entries 0, 1, 2, ... of its inputs, counted through."""
    inputs = [keras.Input(shape) for shape in shapes]
    call = trace(keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))).calls[-1]
    starts = np.cumsum([0, *(shape[-1] for shape in shapes)])
    return follows(call)(call, [np.arange(a, b) for a, b in itertools.pairwise(starts)]).tolist()


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (layers.BatchNormalization(), [(4, 4, 3)], [[0, 1, 2]]),
        (PowerOfTwoBatchNormalization(), [(4, 4, 3)], [[0, 1, 2]]),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), [(4, 4, 2)], [[0, 0, 1, 1]]),
        (layers.Concatenate(), [(4, 2), (4, 3)], [[0, 1, 2, 3, 4]]),
        (layers.Concatenate(axis=1), [(4, 2), (3, 2)], [[0, 1], [2, 3]]),
        (layers.Add(), [(2,), (2,), (2,)], [[0, 1], [2, 3], [4, 5]]),
        (layers.Multiply(), [(4, 4, 2), (1, 1, 2)], [[0, 1], [2, 3]]),
        (layers.Multiply(), [(4, 4, 2), (4, 4, 1)], [[0, 1]]),
        (layers.Flatten(), [(2, 1, 3)], [[0, 1, 2, 0, 1, 2]]),
        (layers.Reshape((2, 3)), [(6,)], [[0, 1, 2], [3, 4, 5]]),
        (layers.Reshape((4, 3)), [(2, 2, 3)], [[0, 1, 2]]),
        (layers.GlobalAveragePooling2D(), [(4, 4, 2)], [[0, 1]]),
    ],
    ids=lambda x: type(x).__name__,
)
def test_entries_meet_where_channels_meet(layer, shapes, expected):
    assert entries_of(layer, *shapes) == expected


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.BatchNormalization(axis=1), "normalises axis 1"),
        (PowerOfTwoBatchNormalization(axis=1), "normalises axis 1"),
        (layers.Activation("softmax"), "ends in softmax, which mixes channels"),
        (layers.Activation(lambda x: x), "an activation that is not of Keras"),
        (layers.ZeroPadding2D(data_format="channels_first"), "has channels on another axis"),
    ],
    ids=["norm", "affine", "softmax", "lambda", "first"],
)
def test_layers_that_mix_channels_say_why(layer, reason):
    with pytest.raises(Unknown, match=reason):
        entries_of(layer, (4, 4, 3))


def test_keys_are_layer_types():
    assert all(issubclass(kind, layers.Layer) for kind in FOLLOWING)
