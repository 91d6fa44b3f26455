"""Feature maps whose channels fill their range, and a network that computes what it did."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.edits import shift_and_scale
from tfcompress.structure.trace import trace

X = np.random.default_rng(1).normal(size=(48, 8, 8, 3)).astype(np.float32)


def unequal(model, seed=0):
    """Random weights; the channels of every layer differ by up to a factor of 30."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" in variable.dtype:
            w = rng.uniform(0.5 if "variance" in variable.path else -1.0, 1.0, variable.shape)
            stretched = "kernel" in variable.path or "gamma" in variable.path or "beta" in variable.path
            variable.assign(w * np.exp(rng.uniform(-3.4, 0, variable.shape[-1:])) if stretched else w)
    return model


def model_of(*stack, outputs=3):
    head = [layers.GlobalAveragePooling2D(), layers.Dense(outputs, name="head")]
    return unequal(keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3, name="first"), *stack, *head]))


def edited(model, **options):
    """The edit and the lines of its warning, if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twin = shift_and_scale(model, X, **options)
    assert len(caught) <= 1
    return twin, str(caught[0].message).split("\n  ")[1:] if caught else []


def assert_same(twin, model):
    expected = np.asarray(model(X))
    np.testing.assert_allclose(twin(X), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def reach(model, name):
    """Smallest and largest value of each channel of a layer's output."""
    values = np.asarray(keras.Model(model.inputs[0], model.get_layer(name).output)(X))
    rows = values.reshape(-1, values.shape[-1])
    return rows.min(0), rows.max(0)


def moved(model, twin, name):
    """Whether the edit changed what a layer delivers, beyond float rounding."""
    return not np.allclose(reach(model, name), reach(twin, name), rtol=1e-3, atol=1e-6)


def residual():
    inputs = keras.Input((8, 8, 3), name="in")
    x = a = layers.Conv2D(6, 3, padding="same", name="a")(inputs)
    x = layers.Conv2D(6, 1, name="b")(layers.ReLU(name="r")(x))
    x = layers.BatchNormalization(name="n", scale=False, center=False)(x)
    x = layers.Add(name="sum")([a, x])
    x = layers.Conv2D(4, 1, name="c")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.MaxPooling2D()(x))))


def joined():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(4, 3, name="a")(inputs)
    b = layers.Conv2D(3, 3, activation="relu", name="b")(inputs)
    x = layers.Concatenate(name="join")([a, layers.AveragePooling2D(1)(b), a])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3, name="c")(x))))


def mobile():
    inputs = x = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="n0")(layers.Conv2D(6, 3, use_bias=False, padding="same", name="a")(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False, name="d")(layers.ReLU()(x))
    x = layers.Conv2D(5, 1, name="p")(layers.ReLU(name="r")(layers.BatchNormalization(name="n1")(x)))
    x = layers.SeparableConv2D(4, 3, depth_multiplier=2, name="s")(layers.ZeroPadding2D()(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(layers.LeakyReLU()(x))))


def scaled_by_itself():
    inputs = x = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(x)
    s = layers.Dense(6, activation="sigmoid", name="s")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(4, 1, name="b")(layers.Multiply(name="product")([s, x]))
    x = x * x + 0.5
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def nested_and_shared():
    shared = layers.Conv2D(6, 3, padding="same", name="shared")
    inner = keras.Sequential([keras.Input((8, 8, 6)), layers.Conv2D(6, 1, name="i"), layers.ReLU()], name="inner")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = layers.Subtract()([inner(shared(shared(x))), x])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 2, groups=2, name="g")(x))))


def upward():
    stack = [layers.Conv2D(4, 3, dilation_rate=2, padding="same", name="a"), layers.BatchNormalization(name="n")]
    stack += [layers.UpSampling2D(), layers.Conv2DTranspose(5, 3, strides=2, name="t"), layers.Cropping2D(2)]
    stack += [layers.BatchNormalization(name="pre"), layers.PReLU(shared_axes=[1, 2]), layers.Conv2D(3, 2, name="z")]
    stack += [layers.Reshape((-1, 6)), layers.Dense(4, activation="tanh"), layers.Dense(2)]
    return keras.Sequential([keras.Input((8, 8, 3)), *stack])


ZOO = [residual, joined, mobile, scaled_by_itself, nested_and_shared, upward]


@pytest.mark.parametrize("make", ZOO, ids=lambda make: make.__name__)
def test_the_float_function_stays_and_the_original_too(make):
    model = unequal(make())
    before = [v.numpy() for v in model.variables]
    twin, _ = edited(model)
    assert_same(twin, model)
    for old, now in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, now)
    changed = {c.path for c, d in zip(trace(model).calls, trace(twin).calls) if any_change(c.layer, d.layer)}
    assert len(changed) >= 3
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]


def any_change(old, new):
    a, b = getattr(old, "weights", []), getattr(new, "weights", [])
    return len(a) != len(b) or any(not np.allclose(v, w, rtol=1e-4) for v, w in zip(a, b))


def test_powers_of_two_change_no_bit():
    model = model_of(layers.ReLU(), layers.Conv2D(4, 3, padding="same", activation="relu"))
    twin, _ = edited(model, power_of_two=True, shift=False)
    np.testing.assert_array_equal(twin(X), model(X))
    assert moved(model, twin, "first")


def test_channels_fill_their_range():
    model = model_of(layers.Conv2D(5, 1, name="b"), layers.ReLU(name="r"), layers.Conv2D(4, 1, name="c"))
    twin, lines = edited(model, quantiles=(0, 1))
    assert not [line for line in lines if line.startswith(("'first'", "'r'"))]
    low, high = reach(twin, "first")  # linear, read without padding: shifted to the middle
    np.testing.assert_allclose(low, -high, rtol=1e-4)
    np.testing.assert_allclose(high, high.max(), rtol=1e-4)
    low, high = reach(twin, "r")
    before = reach(model, "r")[1]
    np.testing.assert_allclose(high[before > 0], before.max(), rtol=1e-4)
    assert before.max() > 3 * before[before > 0].min()


def test_equal_ranges_need_nothing():
    model = model_of(layers.ReLU(name="r"), layers.Conv2D(4, 3, name="c"))
    balanced, _ = edited(model, quantiles=(0, 1))
    again, _ = edited(balanced, quantiles=(0, 1))
    for old, new in zip(balanced.weights, again.weights, strict=True):
        np.testing.assert_allclose(old, new, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.ReLU(6, name="x"), "go through 'x' (ReLU), which does not scale with its input"),
        (layers.Activation("sigmoid", name="x"), "go through 'x' (Activation), which does not scale with its input"),
        (layers.LayerNormalization(name="x"), "which does something else with them than multiply or add"),
    ],
)
def test_what_does_not_scale_stays_and_is_named(layer, reason):
    model = model_of(layer, layers.Conv2D(4, 1, name="b"))
    twin, lines = edited(model)
    assert_same(twin, model)
    assert not moved(model, twin, "first") and not moved(model, twin, "x")
    assert any(reason in line for line in lines)


@pytest.mark.parametrize(
    "reader",
    [
        layers.Conv2D(4, 3, padding="same", name="b"),
        layers.DepthwiseConv2D(3, padding="same", name="b"),
        layers.ZeroPadding2D(name="b"),
        layers.Conv2DTranspose(4, 3, name="b"),
        layers.ReLU(name="b"),
        layers.LeakyReLU(name="b"),
    ],
    ids=lambda reader: type(reader).__name__,
)
def test_in_front_of_zeros_channels_scale_and_do_not_shift(reader):
    model = model_of(reader, layers.Conv2D(4, 1, name="c"))
    twin, _ = edited(model)
    assert_same(twin, model)
    (low, high), (new_low, new_high) = reach(model, "first"), reach(twin, "first")
    np.testing.assert_allclose(new_high / high, new_low / low, rtol=1e-3)
    assert (new_high / high).max() > 2


@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_shifts_pass_pooling_even_if_it_pads(pooling):
    model = model_of(pooling(3, 2, padding="same"), layers.Conv2D(4, 1, name="c"))
    twin, _ = edited(model)
    assert_same(twin, model)
    (low, high), (new_low, new_high) = reach(model, "first"), reach(twin, "first")
    assert np.abs(new_high / high - new_low / low).max() > 0.1


def test_terms_of_a_sum_share_factors_and_shifts_add_up():
    model = unequal(residual())
    twin, _ = edited(model, quantiles=(0, 1))
    ratios = {n: np.subtract(*reach(twin, n)) / np.subtract(*reach(model, n)) for n in ("a", "n", "sum")}
    np.testing.assert_allclose(ratios["a"], ratios["sum"], rtol=1e-3)
    np.testing.assert_allclose(ratios["n"], ratios["sum"], rtol=1e-3)
    assert ratios["sum"].max() > 1.5
    free = unequal(residual_without_relu())
    twin, _ = edited(free)
    assert_same(twin, free)
    shifts = {n: reach(twin, n)[1] - ratio(free, twin, n) * reach(free, n)[1] for n in ("a", "b", "sum")}
    np.testing.assert_allclose(shifts["a"] + shifts["b"], shifts["sum"], atol=1e-3)
    assert np.abs(shifts["sum"]).max() > 0.1


def ratio(model, twin, name):
    return np.subtract(*reach(twin, name)) / np.subtract(*reach(model, name))


def residual_without_relu():
    inputs = keras.Input((8, 8, 3))
    a, b = (layers.Conv2D(6, 1, name=name)(inputs) for name in "ab")
    x = layers.Conv2D(4, 1, name="c")(layers.Add(name="sum")([a, b]))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def test_a_product_scales_as_its_larger_factor():
    model = unequal(scaled_by_itself())
    twin, _ = edited(model)
    assert_same(twin, model)
    np.testing.assert_allclose(ratio(model, twin, "a"), ratio(model, twin, "product"), rtol=1e-3)
    assert ratio(model, twin, "a").max() > 2 and not moved(model, twin, "s")


def test_inputs_and_outputs_of_the_model_stay():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu", name="hidden")(inputs)
    model = unequal(keras.Model(inputs, [x, layers.Conv2D(4, 1, name="out")(x)]))
    twin, lines = edited(model)
    for old, new in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    assert not lines


def test_the_limit_is_kept_and_what_it_costs_is_named():
    model = model_of(layers.ReLU(name="r"), layers.Conv2D(4, 1, name="c"))
    twin, lines = edited(model, limit=1.1, shift=False)
    assert ratio(model, twin, "r").max() == pytest.approx(1.1, rel=1e-3)
    assert any("'r'" in line and "would need a factor over 1.1" in line for line in lines)


def test_batch_norms_scale_in_training_too():
    """Their statistics are those of what they get now, so that training goes on from the same function."""
    model = model_of(layers.MaxPooling2D(2), layers.BatchNormalization(name="n"), layers.ReLU(), layers.Conv2D(4, 1))
    twin, _ = edited(model)
    assert not np.allclose(model.get_layer("n").moving_mean, twin.get_layer("n").moving_mean, rtol=1e-2)
    np.testing.assert_allclose(twin(X, training=True), model(X, training=True), rtol=1e-2, atol=1e-3)


def test_a_dead_channel_stays():
    model = model_of(layers.ReLU(name="r"), layers.Conv2D(4, 1))
    model.get_layer("first").bias.assign([-100.0] + [0.5] * 5)
    twin, _ = edited(model)
    assert_same(twin, model)
    assert float(twin.get_layer("first").bias[0]) == -100.0


def test_compressed_layers_stay_and_are_named():
    model = tfc.compress(model_of(layers.ReLU(name="r"), layers.Conv2D(4, 1, name="c")), {"c": {"kernel": tfc.LSQ(4)}})
    twin, lines = edited(model)
    np.testing.assert_array_equal(twin(X), model(X))
    assert any("'r': " in line and "'c' (Conv2D), which has transforms on ['kernel']" in line for line in lines)


@pytest.mark.parametrize("bits", [8, 4])
def test_rounded_feature_maps_lose_less(bits):
    model = model_of(layers.ReLU(), layers.Conv2D(8, 3, padding="same", activation="relu"), layers.Conv2D(4, 1))
    expected, errors = np.asarray(model(X)), []
    for candidate in (model, edited(model)[0]):
        small = tfc.compress(candidate, {".*": {"output": tfc.MinMax(bits)}, "in.*|head": {"output": None}})
        tfc.calibrate(small, X)
        errors.append(np.mean((np.asarray(small(X)) - expected) ** 2))
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("wrong", [{"quantiles": (0.9, 0.1)}, {"limit": 0.5}])
def test_arguments_are_checked(wrong):
    with pytest.raises(ValueError, match="`quantiles` must be two numbers from 0 to 1.*Received"):
        shift_and_scale(model_of(), X, **wrong)
