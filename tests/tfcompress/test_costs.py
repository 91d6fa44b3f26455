from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress import costs


@pytest.fixture(scope="module")
def network():
    """8 x 8 x 2 -> conv 3x3 (4) -> depthwise 3x3 -> conv 1x1 stride 2 (6) -> dense 5."""
    inputs = x = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="deep")(x)
    x = layers.Conv2D(6, 1, strides=2, activation="relu", name="point")(x)
    return keras.Model(inputs, layers.Dense(5, name="head")(layers.Flatten()(x)))


MACS = {"conv": 64 * 9 * 2 * 4, "deep": 64 * 9 * 4, "point": 16 * 4 * 6, "head": 96 * 5}


def test_a_float_model_by_hand(network):
    assert costs.macs(network) == sum(MACS.values())
    assert costs.bops(network) == sum(MACS.values()) * 32 * 32
    assert costs.weight_bytes(network) == 4 * (9 * 2 * 4 + 9 * 4 + 4 * 6 + 96 * 5)


def test_mixed_widths_by_hand(network):
    small = tfc.compress(
        network,
        {
            "conv|head": {"kernel": tfc.LSQ(4)},
            "deep": {"kernel": tfc.LSQ(8), "output": tfc.LSQ(3)},
            "point": {"kernel": tfc.LSQ(2), "output": tfc.LSQ(5)},
            "image": {"output": tfc.LSQ(8)},
        },
    )
    tfc.calibrate(small, np.random.default_rng(0).random((8, 8, 8, 2), "float32"))
    bits = {"conv": 4 * 8, "deep": 8 * 32, "point": 2 * 3, "head": 4 * 5}
    assert costs.bops(small) == sum(MACS[name] * product for name, product in bits.items())
    assert costs.weight_bytes(small) == (72 * 4 + 36 * 8 + 24 * 2 + 480 * 4) / 8


def test_channels_behind_closed_gates_are_gone_on_both_sides(network):
    gated = tfc.edits.insert_bottlenecks(network, seed=0)
    first, last = (layer for layer in gated.layers if isinstance(layer, tfc.layers.InformationBottleneck))
    first.ratio.assign(np.where(np.arange(4) < 1, 1.0, first.ratio.numpy()))
    last.ratio.assign(np.where(np.arange(6) < 2, 1.0, last.ratio.numpy()))
    by_hand = 64 * 9 * 2 * 3 + 64 * 9 * 3 + 16 * 3 * 4 + 64 * 5
    assert costs.macs(gated) == by_hand == costs.macs(tfc.edits.remove_channels(gated))
    assert costs.bops(gated) == by_hand * 32 * 32


def test_the_cost_is_linear_in_each_width_and_each_share():
    row = costs.Row("a", 100, 10, 3.0, 5.0, 0.5, 0.25)
    other = costs.Row("b", 7, 7, 2.5, 8.0)
    assert costs.bops.count([row, other]) == 100 * 15 * 0.125 + 7 * 20
    assert costs.macs.count([row, other]) == 100 * 0.125 + 7
    assert costs.weight_bytes.count([row, other]) == (10 * 3 * 0.125 + 7 * 2.5) / 8


def test_joined_maps_have_the_widest_of_their_grids():
    inputs = keras.Input((4,))
    a, b = (layers.Dense(3, activation="relu", name=name)(inputs) for name in "ab")
    model = keras.Model(inputs, layers.Dense(2, name="c")(layers.Concatenate()([a, b])))
    rules = {"a": {"output": tfc.LSQ(3)}, "b": {"output": tfc.LSQ(6)}, ".*": {"kernel": tfc.LSQ(4)}}
    small = tfc.compress(model, rules)
    tfc.calibrate(small, np.random.default_rng(0).random((8, 4), "float32"))
    assert costs.bops(small) == 2 * 4 * 3 * 4 * 32 + 6 * 2 * 4 * 6


def test_soft_widths_are_fractions_and_hard_ones_rounded_up():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="dense")])
    small = tfc.compress(model, {"dense": {"kernel": tfc.DifferentiableBits()}})
    transform = small.get_layer("dense").transforms["kernel"]
    transform.log_step.assign(0.08)
    facts = costs.Facts(small)
    assert facts.widths(soft=True)[transform] == pytest.approx(float(transform.soft_bits))
    assert facts.widths()[transform] == 5 and 4 < float(transform.soft_bits) < 5
    assert costs.bops(small) == 24 * 5 * 32


def test_transposed_convolutions_multiply_at_every_input():
    model = keras.Sequential([keras.Input((5, 5, 3)), layers.Conv2DTranspose(4, 3, strides=2)])
    assert costs.macs(model) == 25 * 9 * 3 * 4


def test_what_cannot_be_counted_is_refused_by_name():
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, name="memory")])
    with pytest.raises(ValueError, match=r"Layer 'memory' \(LSTM\) must be one whose multiplications can be counted"):
        costs.macs(model)
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3, name="conv")])
    with pytest.raises(ValueError, match="Layer 'conv' must have maps of known size"):
        costs.macs(model)


def test_a_cost_of_another_kind_is_anchored_by_a_surrogate_of_its_value(network):
    """What goes about with it tells the rest in proportion; counted costs are exact everywhere, and are their own."""
    facts = costs.Facts(network)
    there = facts.rows(facts.widths(), facts.gone())
    half = [replace(row, weight_bits=row.weight_bits / 2) for row in there]
    near = costs.Anchored(lambda model: 50.0, costs.bops).near(network, there)
    assert near.count(there) == pytest.approx(50) and near.count(half) == pytest.approx(25)
    assert costs.macs.near(network, there) is costs.macs
    assert isinstance(costs.bops, costs.Surrogated) and not isinstance(len, costs.Surrogated)
