"""Gates stand where they alone decide."""

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.edits import insert_bottlenecks, remove_channels
from tfcompress.layers import InformationBottleneck


def mobile():
    """A stem, an inverted residual block, and a head."""
    inputs = keras.Input((8, 8, 3))
    stem = layers.ReLU(name="stem_relu")(layers.Conv2D(8, 3, padding="same", name="stem")(inputs))
    x = layers.ReLU(6, name="expand_relu")(layers.BatchNormalization()(layers.Conv2D(16, 1, name="expand")(stem)))
    x = layers.ReLU(6, name="wide_relu")(layers.DepthwiseConv2D(3, padding="same", name="wide")(x))
    x = layers.Add()([stem, layers.Conv2D(8, 1, name="project")(x)])
    x = layers.Dense(6, activation="relu", name="hidden")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(4, name="out")(x))


def gates(model):
    return [layer.name for layer in model.layers if isinstance(layer, InformationBottleneck)]


def test_gates_stand_behind_groups_whose_channels_are_their_own():
    assert gates(insert_bottlenecks(mobile(), kl=1e-3)) == ["expand_relu_bottleneck", "hidden_bottleneck"]


def test_rules_choose_and_arguments_arrive():
    model = insert_bottlenecks(mobile(), layers="hid.*", kl=0.5, seed=7)
    assert gates(model) == ["hidden_bottleneck"]
    assert model.get_layer("hidden_bottleneck").get_config()["kl"] == 0.5
    seeds = [g.seed for g in insert_bottlenecks(mobile(), seed=7).layers if isinstance(g, InformationBottleneck)]
    assert seeds == [7, 8]


def test_a_closed_gate_is_enough_for_the_channel_to_go():
    model = insert_bottlenecks(mobile())
    model.get_layer("expand_relu_bottleneck").ratio.assign([0.5] * 6 + [-1.0] * 10)
    small = remove_channels(model)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-5)
    assert small.get_layer("expand").filters == 10 and not gates(small)


@pytest.mark.parametrize("rule", ["stem|project|out", "nobody"])
def test_where_no_gate_can_decide_there_is_an_error(rule):
    with pytest.raises(ValueError, match="must match a convolution or Dense layer whose channels can be removed"):
        insert_bottlenecks(mobile(), layers=rule)


def test_no_second_gate_comes_behind_the_first():
    once = insert_bottlenecks(mobile())
    with pytest.raises(ValueError, match="`layers` must match"):
        insert_bottlenecks(once)
