"""Factors of gates go into the weights next to them."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.constant_gate import ConstantGate
from tfcompress.structure.fold_gates import fold_gates


@keras.saving.register_keras_serializable("tests")
class Times(ConstantGate):
    """Multiplies by given factors."""

    def __init__(self, factors, **kwargs):
        super().__init__(**kwargs)
        self.factors = list(factors)

    @property
    def factor(self):
        return np.array(self.factors, np.float32)

    def call(self, x, training=None):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}


MIXED, POSITIVE = [0.5, -2.0, 0.0, 3.0], [0.5, 2.0, 0.0, 3.0]


def random(model):
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "float" in variable.dtype:
            variable.assign(rng.uniform(0.3 if "variance" in variable.path else -1.0, 1.0, variable.shape))
    return model


def around(before, factors, after):
    """A network with a gate between some layers and others."""
    gate = Times(factors, name="gate")
    return random(keras.Sequential([keras.Input((6, 6, 2)), *before, gate, *after]))


def assert_folded(model, kinds=()):
    small = fold_gates(model)
    x = np.random.default_rng(1).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-5)
    assert [type(layer) for layer in small.layers if layer.name == "gate"] == list(kinds)
    return small


def conv(**arguments):
    return layers.Conv2D(4, 3, padding="same", **arguments)


AHEAD = {
    "convolution": lambda: [layers.Conv2D(3, 3)],
    "grouped": lambda: [layers.Conv2D(6, 3, groups=2)],
    "transposed": lambda: [layers.Conv2DTranspose(3, 3)],
    "separable": lambda: [layers.SeparableConv2D(3, 3, depth_multiplier=2)],
    "depthwise": lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2, activation="sigmoid")],
    "average": lambda: [layers.AveragePooling2D(2), layers.Dropout(0.1), layers.Flatten(), layers.Dense(3)],
    "padding": lambda: [layers.ZeroPadding2D(1), layers.Conv2D(3, 3)],
}


@pytest.mark.parametrize("name", AHEAD)
def test_factors_of_both_signs_go_into_what_reads_them(name):
    model = around([conv(activation="tanh")], MIXED, AHEAD[name]())
    small = assert_folded(model)
    np.testing.assert_array_equal(small.layers[0].kernel, model.layers[0].kernel)


@pytest.mark.parametrize("between", [layers.MaxPooling2D(2), layers.ReLU(), layers.LeakyReLU()])
def test_a_largest_value_lets_only_positive_factors_pass(between):
    kind = type(between)
    assert_folded(around([conv(activation="tanh")], POSITIVE, [between, layers.Conv2D(3, 3)]))
    again = [kind(2) if kind is layers.MaxPooling2D else kind(), layers.Conv2D(3, 3)]
    assert_folded(around([conv(activation="tanh")], MIXED, again), [layers.Rescaling])


BEHIND = {
    "linear": (lambda: [conv()], MIXED),
    "norm": (lambda: [conv(use_bias=False), layers.BatchNormalization()], MIXED),
    "relu": (lambda: [conv(), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(2)], POSITIVE),
    "activation": (lambda: [conv(activation="relu")], POSITIVE),
    "depthwise": (lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2)], MIXED),
}


@pytest.mark.parametrize("name", BEHIND)
def test_where_the_layers_behind_cannot_those_in_front_take_the_factors(name):
    before, factors = BEHIND[name]
    small = assert_folded(around(before(), factors, [layers.BatchNormalization(), layers.Conv2D(3, 1)]))
    assert all(not isinstance(layer, ConstantGate) for layer in small.layers)


@pytest.mark.parametrize(
    "before", [[conv(activation="tanh")], [conv(activation="relu")], [conv(), layers.BatchNormalization(scale=False)]]
)
def test_where_there_is_no_way_the_factors_stay_as_a_rescaling(before):
    assert_folded(around(before, MIXED, [layers.LayerNormalization()]), [layers.Rescaling])


def test_a_weight_with_a_transform_is_not_touched(toys):
    model = around([conv(), layers.BatchNormalization(name="n")], MIXED, [layers.Conv2D(3, 3, name="c")])
    small = assert_folded(tfc.compress(model, {"c": {"kernel": toys.Threshold()}}))
    np.testing.assert_array_equal(small.get_layer("c").layer.kernel, model.get_layer("c").kernel)
    both = {"c": {"kernel": toys.Threshold()}, "n": {"gamma": toys.Unchanged()}}
    assert_folded(tfc.compress(model, both), [layers.Rescaling])


def branches(join):
    inputs = keras.Input((6, 6, 2))
    gated = Times(MIXED, name="gate")(layers.Conv2D(4, 1, activation="tanh")(inputs))
    other = layers.Conv2D(4, 1)(inputs)
    joined = join(gated, other)
    return random(keras.Model(inputs, layers.Conv2D(2, 1)(joined)))


def test_in_a_concatenation_only_the_gated_part_is_scaled():
    assert_folded(branches(lambda a, b: layers.Concatenate()([b, a, layers.ReLU(name="r")(b)])))


def test_a_sum_with_what_is_not_gated_lets_nothing_pass():
    assert_folded(branches(lambda a, b: layers.Add()([a, b])), [layers.Rescaling])


def test_every_reader_takes_the_factors():
    assert_folded(
        branches(lambda a, b: layers.Concatenate()([layers.Conv2D(2, 1)(a), layers.Conv2D(2, 3, padding="same")(a), b]))
    )


def test_what_is_read_beside_the_gate_is_not_scaled():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 1)(inputs)
    y = layers.BatchNormalization()(Times(MIXED, name="gate")(x))
    assert_folded(random(keras.Model(inputs, layers.Add()([x, y]))), [layers.Rescaling])


def test_two_gates_on_one_layer_both_count():
    middle = [layers.Conv2D(4, 3, activation="tanh"), Times(POSITIVE), layers.Conv2D(4, 1), Times(MIXED, name="last")]
    model = around([conv()], MIXED, [*middle, layers.LayerNormalization()])
    small = assert_folded(model)
    assert not [layer for layer in small.layers if isinstance(layer, (ConstantGate, layers.Rescaling))]
