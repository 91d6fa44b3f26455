"""Which channels are one."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.structure.channels import Channels
from tfcompress.structure.trace import trace


def channels_of(model):
    channels = Channels(trace(model))
    return channels, {value.name: numbers for value, numbers in channels.numbers.items()}


def chain(*stack, shape=(6, 6, 2)):
    return keras.Sequential([keras.Input(shape, name="in"), *stack, layers.Flatten(name="flat"), layers.Dense(2)])


def test_a_channel_stays_one_through_its_group_and_is_new_behind_a_convolution():
    stack = [layers.Conv2D(4, 1, name="a"), layers.BatchNormalization(name="n"), layers.ReLU(name="r")]
    _, numbers = channels_of(chain(*stack, layers.Conv2D(4, 1, name="b")))
    assert numbers["a"].tolist() == numbers["n"].tolist() == numbers["r"].tolist()
    assert not {*numbers["a"].tolist()} & {*numbers["b"].tolist()}
    assert numbers["flat"].tolist() == numbers["b"].tolist() * 36


def residual(merge):
    inputs = keras.Input((6, 6, 2), name="in")
    a = layers.Conv2D(4, 1, name="a")(inputs)
    b = layers.Conv2D(4, 1, name="b")(layers.ReLU()(a))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(merge(a, b))))


@pytest.mark.parametrize("merge", [lambda a, b: layers.Add()([a, b]), lambda a, b: a + b], ids=["layer", "operator"])
def test_a_sum_ties_its_terms(merge):
    _, numbers = channels_of(residual(merge))
    assert numbers["a"].tolist() == numbers["b"].tolist()


def test_groups_of_a_convolution_are_tied_place_by_place():
    channels, numbers = channels_of(chain(layers.Conv2D(4, 1, name="a"), layers.Conv2D(8, 1, groups=2, name="g")))
    assert numbers["a"].tolist() == [*numbers["a"][:2]] * 2
    assert numbers["g"].tolist() == [*numbers["g"][:4]] * 2
    assert channels.count == len({int(n) for values in numbers.values() for n in values})


def test_uses_of_one_layer_are_tied():
    shared, inputs = layers.Dense(4, name="s"), keras.Input((4,), name="in")
    both = layers.Concatenate(name="c")([shared(layers.Dense(4, name="a")(inputs)), shared(layers.Dense(4)(inputs))])
    channels, numbers = channels_of(keras.Model(inputs, layers.Dense(1)(both)))
    assert numbers["s"].tolist() == numbers["s#1"].tolist()
    assert numbers["a"].tolist() == numbers["dense" if "dense" in numbers else channels.trace.calls[3].path].tolist()
    assert channels.uses(shared) == 2


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.LayerNormalization(name="x"), r"go through 'x' \(LayerNormalization\), which uses channels in a way"),
        (layers.Softmax(name="x"), r"go through 'x' \(Softmax\)"),
        (layers.Permute((3, 1, 2), name="x"), r"go through 'x' \(Permute\)"),
        (layers.Lambda(lambda x: x, name="x"), r"go through 'x' \(Lambda\)"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_is_not_known_is_fixed_with_a_reason(layer, reason):
    channels, numbers = channels_of(chain(layers.Conv2D(4, 1, name="a"), layer))
    keras.utils.set_random_seed(0)
    assert {*numbers["a"].tolist()} <= channels.fixed.keys()
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(channels.fixed[int(numbers["a"][0])])


def test_inputs_outputs_and_what_mixes_in_an_activation_are_fixed():
    inputs = keras.Input((4,), name="in")
    soft = layers.Dense(3, activation="softmax", name="soft")(inputs)
    channels, numbers = channels_of(keras.Model(inputs, layers.Dense(2, name="out")(soft)))
    reasons = [channels.fixed[int(numbers[name][0])] for name in ("in", "soft", "out")]
    assert reasons[0] == "are an input of the model" and reasons[2] == "are an output of the model"
    assert reasons[1] == "go through 'soft' (Dense), which ends in softmax, which mixes channels"


def test_an_operation_that_holds_channels_is_fixed_and_others_are_read_as_layers():
    inputs = keras.Input((4,), name="in")
    a = layers.Dense(3, name="a")(inputs)
    free = layers.Dense(2)(ops.relu(a))
    channels, numbers = channels_of(keras.Model(inputs, free))
    assert not {*numbers["a"].tolist()} & channels.fixed.keys()
    held = layers.Dense(2)(a * np.array([1.0, 2.0, 3.0], np.float32))
    channels, numbers = channels_of(keras.Model(inputs, held))
    assert "operation that holds a number for each channel" in channels.fixed[int(numbers["a"][0])]


def test_one_channel_that_is_spread_over_all_is_fixed():
    inputs = keras.Input((4, 4, 2), name="in")
    a, b = layers.Conv2D(3, 1, name="a")(inputs), layers.Conv2D(1, 1, name="b")(inputs)
    product = layers.Multiply(name="p")([a, b])
    channels, numbers = channels_of(keras.Model(inputs, layers.Dense(1)(layers.Flatten()(product))))
    assert channels.fixed[int(numbers["b"][0])] == "are spread over all channels by 'p'"
    assert not {*numbers["a"].tolist()} & channels.fixed.keys()


def test_entries_say_what_goes_into_nested_models():
    inner = keras.Sequential([keras.Input((6, 6, 4), name="door"), layers.Conv2D(3, 1)], name="inner")
    channels, _ = channels_of(chain(layers.Conv2D(4, 1, name="a"), inner))
    assert channels.entries["inner/door"].name == "a"
