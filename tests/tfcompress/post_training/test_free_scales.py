"""Which channels have one factor."""

import keras
from keras import layers

from tfcompress.post_training.free_scales import FreeScales
from tfcompress.structure.trace import trace


def scales_of(*stack, shape=(6, 6, 2)):
    model = keras.Sequential([keras.Input(shape, name="in"), *stack, layers.Flatten(name="flat"), layers.Dense(2)])
    scales = FreeScales(trace(model))
    return scales, {value.name: numbers.tolist() for value, numbers in scales.numbers.items()}


def test_layers_with_weights_have_factors_of_their_own_on_either_side():
    stack = [layers.Conv2D(4, 1, name="a"), layers.BatchNormalization(name="n"), layers.ReLU(name="r")]
    scales, numbers = scales_of(*stack, layers.DepthwiseConv2D(3, name="d"), layers.MaxPooling2D(name="p"))
    assert not {*numbers["a"]} & {*numbers["n"]} and not {*numbers["r"]} & {*numbers["d"]}
    assert numbers["n"] == numbers["r"] and numbers["d"] == numbers["p"] and numbers["flat"] == numbers["p"] * 4
    assert {scales.fixed[n] for n in numbers["in"]} == {"are an input of the model"}
    assert not {*numbers["a"], *numbers["n"], *numbers["d"]} & scales.fixed.keys()


def test_groups_of_a_convolution_are_not_tied():
    _, numbers = scales_of(layers.Conv2D(4, 1, name="a"), layers.Conv2D(4, 1, groups=2))
    assert len({*numbers["a"]}) == 4


def test_shifts_stop_at_relus_and_zero_padding_only():
    pads = layers.Conv2D(4, 3, padding="same", name="b")
    stack = [layers.Conv2D(4, 1, name="a"), pads, layers.Conv2D(4, 1, name="c"), layers.ReLU(), layers.Conv2D(4, 1)]
    scales, numbers = scales_of(*stack)
    assert scales.unshifted[numbers["a"][0]] == "are read by 'b' (Conv2D), which pads with zeros"
    assert not {*numbers["b"]} & scales.unshifted.keys()
    assert scales.unshifted[numbers["c"][0]] == "go through 're_lu' (ReLU), which shifts do not pass"


def test_uses_of_one_layer_have_the_same_factors_and_no_shift():
    twice = layers.Conv2D(2, 1, name="s")
    scales, numbers = scales_of(layers.Conv2D(2, 1, name="a"), twice, twice, layers.Conv2D(2, 1))
    assert numbers["a"] == numbers["s"] == numbers["s#1"]
    assert all("used more than once" in scales.unshifted[n] for n in numbers["a"])


def test_one_channel_for_all_is_no_free_one():
    inputs = keras.Input((6, 6, 2))
    a, b = layers.Conv2D(4, 1, name="a")(inputs), layers.Conv2D(1, 1, name="b")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Add(name="sum")([a, b]))))
    scales = FreeScales(trace(model))
    reasons = {scales.fixed[int(n)] for v in scales.trace.calls[3].inputs for n in scales.numbers[v]}
    assert reasons == {"go through 'sum' (Add), which spreads one channel over all"}
