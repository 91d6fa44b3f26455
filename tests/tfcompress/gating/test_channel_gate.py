"""Gates that look at the input: their noise, their price, their decisions."""

import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcompress as tfc
from tfcompress.gating.channel_gate import SampledSwitch, hard_gates
from tfcompress.layers import ChannelGate
from tfcompress.regularizers import BatchShaping
from tfcompress.structure.trace import trace

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(6, 4, 4, 5)).astype(np.float32)
BLOCK = RNG.normal(size=(6, 8, 8, 3)).astype(np.float32)


def gate(**arguments):
    keras.utils.set_random_seed(0)
    return ChannelGate(**{"units": 4, "seed": 0, "name": "g", **arguments})


def switch(**arguments):
    layer = SampledSwitch(**{"seed": 0, **arguments})
    layer.build([(None, 3), (None, 3)])
    return layer


def logits_of(layer, block):
    hidden = block.mean(axis=(1, 2)) @ layer.hidden.kernel.numpy()
    hidden /= math.sqrt(1 + layer.norm.epsilon)  # moving statistics at the start
    return np.maximum(hidden, 0) @ layer.logits.kernel.numpy() + layer.logits.bias.numpy()


def test_inference_decides_by_the_sign_of_the_logits():
    layer = gate(open_share=0.5)
    made = np.asarray(layer([FEATURES, BLOCK]))
    decisions = logits_of(layer, BLOCK) > 0
    assert 0.2 < decisions.mean() < 0.8
    np.testing.assert_array_equal(made, FEATURES * decisions[:, None, None, :])
    np.testing.assert_array_equal(made, layer([FEATURES, BLOCK], training=False))


def test_called_on_one_tensor_it_gates_that_by_itself():
    layer = gate(open_share=0.5)
    alone = np.asarray(layer(FEATURES))
    np.testing.assert_array_equal(alone, FEATURES * (logits_of(layer, FEATURES) > 0)[:, None, None, :])


@pytest.mark.parametrize(
    "shapes", [((6, 5), (6, 3)), ((6, 7, 5), (6, 4, 3)), ((6, 4, 4, 5), (6, 3)), ((6, 5), (6, 4, 4, 3))]
)
def test_features_and_block_may_have_any_number_of_axes(shapes):
    features, block = (RNG.normal(size=shape).astype(np.float32) for shape in shapes)
    layer = gate(open_share=0.5)
    made = np.asarray(layer([features, block]))
    ratio = (made / features).reshape(6, -1, 5)
    assert {*np.unique(ratio)} == {0.0, 1.0} and np.ptp(ratio, axis=1).max() == 0


def test_training_opens_gates_with_the_probability_of_their_logits():
    layer = switch()
    ones, logits = np.ones((20_000, 3), np.float32), np.tile(np.float32([-1.0, 0.0, 2.0]), (20_000, 1))
    made = np.asarray(layer([ones, logits], training=True))
    assert {*np.unique(made)} == {0.0, 1.0}
    np.testing.assert_allclose(made.mean(axis=0), 1 / (1 + np.exp([1.0, 0.0, -2.0])), atol=0.01)
    assert not np.array_equal(made, layer([ones, logits], training=True))


def test_the_gradient_of_a_hard_gate_is_that_of_the_soft_one():
    soft = tf.Variable([0.3, 0.5, 0.9])
    with tf.GradientTape() as tape:
        hard = hard_gates(soft)
        total = tf.reduce_sum(hard * [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(hard, [0, 1, 1])
    np.testing.assert_array_equal(tape.gradient(total, soft), [1, 2, 3])


def test_the_gradient_reaches_the_first_layer_of_the_gate():
    layer = gate()
    layer.build([FEATURES.shape, BLOCK.shape])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer([FEATURES, BLOCK], training=True) ** 2)
    slopes = tape.gradient(total, layer.trainable_variables)
    assert len(slopes) == 5 and all(np.isfinite(g).all() and np.any(g) for g in slopes)


@pytest.mark.parametrize("shaped", ["probability", "sample"])
def test_the_price_is_the_shape_of_the_batch_and_the_share_of_open_channels(shaped):
    logits = RNG.normal(size=(64, 3)).astype(np.float32)
    layer = switch(shaping=2.0, l0=3.0, regularizer=BatchShaping(), shaped=shaped)
    layer([np.ones_like(logits), logits], training=True)
    shape, share = (float(loss) for loss in layer.losses)
    open_share = 1 / (1 + np.exp(-logits))
    assert share == pytest.approx(3 * open_share.mean(), rel=1e-5)
    of_probabilities = 2 * float(BatchShaping()(open_share))
    assert (shape == pytest.approx(of_probabilities, rel=1e-4)) == (shaped == "probability")
    layer([np.ones_like(logits), logits], training=False)
    assert layer.losses == []


def test_a_new_gate_is_open_with_the_wished_for_probability():
    layer = gate(open_share=0.7)
    layer.build([FEATURES.shape, BLOCK.shape])
    np.testing.assert_allclose(1 / (1 + np.exp(-layer.logits.bias.numpy())), 0.7, rtol=1e-6)


def test_a_fast_gate_starts_as_a_slow_one_and_moves_further():
    moved = []
    for speed in (1.0, 8.0):
        layer = gate(speed=speed, l0=1.0)
        layer.build([FEATURES.shape, BLOCK.shape])
        logits = logits_of(layer, BLOCK)
        optimizer = keras.optimizers.Adam(0.01)
        with tf.GradientTape() as tape:
            layer([FEATURES, BLOCK], training=True)
            price = sum(layer.losses)
        optimizer.apply_gradients([(tape.gradient(price, layer.logits.bias), layer.logits.bias)])
        moved.append((speed * logits, float(price), speed * (logits_of(layer, BLOCK) - logits)))
    (slow, slow_price, slow_way), (fast, fast_price, fast_way) = moved
    np.testing.assert_allclose(fast, slow, rtol=1e-5)
    assert fast_price == pytest.approx(slow_price, rel=1e-5)
    np.testing.assert_allclose(fast_way, 8 * slow_way, rtol=1e-2)
    np.testing.assert_allclose(slow_way, -0.01, rtol=1e-2)


def test_speed_is_part_of_the_odds_that_training_draws_with():
    layer = switch(speed=2.0)
    ones, logits = np.ones((20_000, 3), np.float32), np.tile(np.float32([-0.5, 0.0, 1.0]), (20_000, 1))
    made = np.asarray(layer([ones, logits], training=True))
    np.testing.assert_allclose(made.mean(axis=0), 1 / (1 + np.exp([1.0, 0.0, -2.0])), atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be at least 1, and `open_share` between 0 and 1. Received: units=0"),
        ({"open_share": 1.0}, "`units` must be at least 1, and `open_share` between 0 and 1"),
        ({"l0": -1.0}, "`shaping` and `l0` must be at least 0, `temperature` and `speed` above 0"),
        ({"speed": 0.0}, "`temperature` and `speed` above 0, and `shaped` one of .* Received: .* speed=0.0"),
        ({"shaped": "noise"}, r"`shaped` one of \['probability', 'sample'\]. Received"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        gate(**arguments)


def test_an_unknown_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="ChannelGate 'g' must know the number of channels"):
        gate().build([(None, 4, 4, None), (None, 4, 4, 3)])


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(2)(gate(regularizer=BatchShaping(), l0=0.1)([x, inputs])))


DATA = (RNG.normal(size=(64, 6)).astype(np.float32), np.ones((64, 2), np.float32))
SMALL = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 8}, {"run_eagerly": True}, {"jit_compile": True}])
def test_it_trains_in_every_mode(options):
    model = network()
    model.compile(keras.optimizers.Adam(1e-2), "mse", **options)
    before = model.get_layer("g").logits.kernel.numpy()
    model.fit(*DATA, **SMALL)
    after = model.get_layer("g").logits.kernel.numpy()
    assert (after != before).all() and np.isfinite(after).all()


def test_it_reloads_equal_and_training_goes_on_as_if_never_interrupted(tmp_path):
    model = network()
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    model.fit(*DATA, **SMALL)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(DATA[0]), model(DATA[0]))
    resumed = [m.fit(*DATA, **SMALL) and m.get_weights() for m in (model, again)]
    assert all(np.array_equal(a, b) for a, b in zip(*resumed, strict=True))


def test_both_coefficients_can_be_annealed():
    model = network()
    model.compile("adam", "mse")
    schedules = {"shaping": lambda step: 0.7 - 0.1 * step, "l0": tfc.schedules.Ramp(0, 7, final=2.0)}
    model.fit(*DATA, **SMALL, callbacks=[tfc.callbacks.Anneal(name, f) for name, f in schedules.items()])
    layer = model.get_layer("g").switch
    assert float(layer.shaping) == pytest.approx(0, abs=1e-6) and float(layer.l0) == pytest.approx(2.0)


def test_under_mixed_precision_features_stay_narrow_and_coefficients_wide():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
        model.compile("adam", "mse")
        model.fit(*DATA, **SMALL)
        assert model.get_layer("g").output.dtype == "bfloat16"
        assert model.get_layer("g").switch.shaping.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(policy)


def residual(kind=keras.Model):
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 2), name="image")
    x = layers.ReLU(name="relu_0")(layers.Conv2D(6, 3, padding="same", name="conv_0")(x))
    y = layers.ReLU(name="relu_1")(layers.Conv2D(8, 3, padding="same", name="conv_1")(x))
    y = layers.Conv2D(6, 3, padding="same", name="conv_2")(y)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    return kind(inputs, layers.Dense(3, name="head")(x))


IMAGES = RNG.normal(size=(8, 8, 8, 2)).astype(np.float32)


def test_inserted_gates_look_at_what_goes_into_their_group():
    model = residual()
    gated = tfc.edits.insert_channel_gates(model, units=4, seed=3)
    (call,) = [c for c in trace(gated).calls if isinstance(c.layer, ChannelGate)]
    assert call.layer.name == "relu_1_gate" and [v.name for v in call.inputs] == ["relu_1", "relu_0"]
    assert call.layer.switch.seed == 3
    call.layer.logits.bias.assign(np.full(8, 50.0))
    np.testing.assert_array_equal(gated(IMAGES), model(IMAGES))
    with pytest.raises(ValueError, match=r"whose channels can be removed. Received: 'head'"):
        tfc.edits.insert_channel_gates(model, "head")


def test_compress_puts_transforms_inside_of_gates():
    gated = tfc.edits.insert_channel_gates(residual(), units=4, seed=0)
    small = tfc.compress(gated, {".*": {"kernel": tfc.LSQ(8), "output": tfc.LSQ(8)}})
    tfc.calibrate(small, IMAGES)
    inside = [call.path.partition("/")[2] for call in trace(small).calls if call.path.startswith("relu_1_gate/")]
    parts = ["pool", "pool_output", "hidden", "norm", "relu", "relu_output", "logits", "logits_output"]
    assert inside == [*parts, "relu_1_gate_switch"]
    compressed = [c.path for c in trace(small).calls if isinstance(c.layer, tfc.Compressed)]
    assert {"relu_1_gate/hidden", "relu_1_gate/logits"} <= {*compressed}
    small.compile("adam", "mse")
    small.fit(IMAGES, np.ones((8, 3)), verbose=0)
    assert np.isfinite(small(IMAGES)).all()


PEER = """
import json, jax, keras, numpy as np
from tfcompress.layers import ChannelGate
from tfcompress.regularizers import BatchShaping
inputs = keras.Input((3,))
x = ChannelGate(units=4, regularizer=BatchShaping(), l0=0.1)(keras.layers.Dense(5)(inputs))
model = keras.Model(inputs, keras.layers.Dense(1)(x))
model.compile("adam", "mse")
before = model.layers[2].logits.kernel.numpy()
loss = model.fit(np.eye(16, 3), np.ones((16, 1)), verbose=0).history["loss"][0]
moved = bool((model.layers[2].logits.kernel.numpy() != before).any())
x = np.linspace(0.05, 0.9, 24).reshape(8, 3).astype(np.float32)
shape, slope = jax.jit(jax.value_and_grad(BatchShaping()))(x)
print(json.dumps([loss, moved, float(shape), np.asarray(slope).tolist()]))
"""


@pytest.mark.slow
def test_it_trains_on_jax_where_batch_shaping_has_the_same_value_and_gradient(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    made = subprocess.run([sys.executable, "-c", PEER], capture_output=True, text=True, check=True).stdout
    loss, moved, shape, slope = json.loads(made.splitlines()[-1])
    assert np.isfinite(loss) and moved
    x = tf.Variable(np.linspace(0.05, 0.9, 24).reshape(8, 3).astype(np.float32))
    with tf.GradientTape() as tape:
        own = BatchShaping()(x)
    assert shape == pytest.approx(float(own), rel=1e-5)
    np.testing.assert_allclose(slope, tape.gradient(own, x), rtol=1e-4, atol=1e-7)
