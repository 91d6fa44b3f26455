"""Layers with fewer channels hold what is left of their weights and of the state of their transforms."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.structure.cut import cut_layer, cut_transform, taken

INPUTS, OUTPUTS = np.array([0, 2, 3]), np.array([1, 4, 5, 7])


def built(layer, shape=(None, 6, 6, 4)):
    keras.utils.set_random_seed(0)
    layer.build(shape)
    return layer


def test_weights_keep_their_values_names_and_whether_they_are_trained():
    layer = built(layers.Conv2D(8, 3, name="c", activation="relu"))
    layer.bias.trainable = False
    twin = cut_layer(layer, (None, 6, 6, 4), INPUTS, OUTPUTS, None)
    np.testing.assert_array_equal(twin.kernel, np.asarray(layer.kernel)[:, :, INPUTS][..., OUTPUTS])
    np.testing.assert_array_equal(twin.bias, np.asarray(layer.bias)[OUTPUTS])
    assert (twin.name, twin.filters, twin.bias.trainable) == ("c", 4, False)


def test_a_shift_goes_into_the_bias_even_where_there_was_none():
    layer = built(layers.Conv2D(8, 3, use_bias=False))
    twin = cut_layer(layer, (None, 6, 6, 4), INPUTS, OUTPUTS, np.arange(4.0))
    np.testing.assert_array_equal(twin.bias, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("layer", "slot"),
    [
        (layers.BatchNormalization(), "gamma"),
        (layers.PReLU(), "alpha"),
        (layers.PReLU(shared_axes=[1, 2]), "alpha"),
        (tfc.layers.InformationBottleneck(), "mean"),
    ],
)
def test_state_per_channel_is_cut(layer, slot):
    built(layer)
    state = getattr(layer, slot)
    state.assign(np.random.default_rng(0).normal(size=state.shape))
    twin = cut_layer(layer, (None, 6, 6, 4), INPUTS, INPUTS, None)
    np.testing.assert_array_equal(getattr(twin, slot), np.asarray(state)[..., INPUTS])


def test_lists_in_the_configuration_are_cut():
    twin = cut_layer(layers.Rescaling([1.0, 2.0, 3.0, 4.0]), (None, 4), INPUTS, INPUTS, None)
    assert list(twin.scale) == [1.0, 3.0, 4.0]
    reshape = cut_layer(layers.Reshape((2, 2, 4)), (None, 16), np.arange(12), INPUTS, None)
    assert tuple(reshape.target_shape) == (2, 2, 3)


TRANSFORMS = {
    "per_channel": lambda: tfc.LSQ(4, axis=-1),
    "per_tensor": lambda: tfc.LSQ(4, axis=()),
    "both_axes": lambda: tfc.LSQ(4, axis=(-2, -1)),
    "mask": lambda: tfc.MagnitudePruning(0.5),
    "chain": lambda: tfc.Chain([tfc.MagnitudePruning(0.5), tfc.LSQ(4, axis=-1)]),
    "dictionary": lambda: tfc.LookUpTable(4, axis=-1),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("square", [False, True])
def test_a_cut_transform_does_to_what_is_left_what_it_did_to_all(name, square):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 3, 8 if square else 4, 8)).astype(np.float32)
    transform = TRANSFORMS[name]()
    transform.build(weight.shape)
    transform.built = True
    transform.calibrate(weight)
    transform(weight, training=True)
    axes = {-2: np.array([0, 2, 3, 6]) if square else INPUTS, -1: OUTPUTS}
    twin = cut_transform(transform, weight.shape, axes, "here")
    expected = taken(np.asarray(transform(weight, training=False)), axes)
    np.testing.assert_array_equal(twin(taken(weight, axes), training=False), expected)


def test_a_layer_with_transforms_stays_one(toys):
    model = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(8, 3, name="c")])
    small = tfc.compress(model, {"c": {"kernel": toys.Threshold(), "bias": toys.Rounding(8)}})
    twin = cut_layer(small.get_layer("c"), (None, 6, 6, 4), INPUTS, OUTPUTS, None)
    for slot, axes in (("kernel", {-2: INPUTS, -1: OUTPUTS}), ("bias", {-1: OUTPUTS})):
        old, new = tfc.deployed(small.get_layer("c"), slot)[0], tfc.deployed(twin, slot)[0]
        np.testing.assert_array_equal(new, taken(old, axes))


@keras.saving.register_keras_serializable("tests")
class Normed(tfc.Transform):
    """Divides by the largest of all weights."""

    def call(self, x, training=None):
        return x / keras.ops.max(keras.ops.abs(x))


@keras.saving.register_keras_serializable("tests")
class Pairs(tfc.Transform):
    """Has state for every pair of weights, which follows no axis."""

    def build(self, shape):
        self.pairs = self.add_weight(shape=(shape[-1] * (shape[-1] - 1) // 2,), initializer="zeros", name="pairs")

    def call(self, x, training=None):
        return x


def compressed(transform):
    model = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(8, 3, name="c")])
    return tfc.compress(model, {"c": {"kernel": transform}}).get_layer("c")


def test_weights_that_depend_on_those_that_go_are_warned_of():
    layer = compressed(Normed())
    kernel = np.ones((3, 3, 4, 8), np.float32)
    kernel[..., 0] = 4
    layer.layer.kernel.assign(kernel)
    with pytest.warns(UserWarning, match=r"'c' \(Conv2D\), slot 'kernel': Normed derives .* change by up to 300 %"):
        cut_layer(layer, (None, 6, 6, 4), INPUTS, OUTPUTS, None)


def test_state_that_follows_no_axis_is_refused():
    with pytest.raises(ValueError, match=r"slot 'kernel': state must follow .* Received: Pairs.pairs of shape \(28,\)"):
        cut_layer(compressed(Pairs()), (None, 6, 6, 4), INPUTS, OUTPUTS, None)
