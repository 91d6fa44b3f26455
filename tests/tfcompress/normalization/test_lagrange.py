"""Mean and variance that the loss asks for."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.normalization.lagrange import LagrangeNormalization, moments, violations

RNG = np.random.default_rng(0)
X = RNG.normal(0.3, 1.5, (2, 4, 3, 5)).astype(np.float32)


def constraints(x, axis, target, log):
    """c1 and c2 in float64, in NumPy."""
    over = None if axis == "layer" else (0, 1, 2)
    mean, variance = x.mean(over), x.var(over)
    excess = np.log(variance) - np.log(target) if log else variance - target
    return mean**2, excess**2


def gradients(x, axis, target, log):
    """The closed forms of dc1/dx and dc2/dx."""
    over = None if axis == "layer" else (0, 1, 2)
    n = x.size if axis == "layer" else x.size // x.shape[-1]
    mean, variance = x.mean(over), x.var(over)
    outer = (np.log(variance) - np.log(target)) / variance if log else variance - target
    return np.broadcast_to(2 * mean / n, x.shape), 4 * outer * (x - mean) / n


@pytest.mark.parametrize("axis", ["layer", "channel"])
@pytest.mark.parametrize("log", [False, True])
def test_gradients_are_the_closed_forms_and_these_the_finite_differences(axis, log):
    import tensorflow as tf

    x, target, direction = X.astype(np.float64), 0.7, RNG.normal(size=X.shape)
    closed, step = gradients(x, axis, target, log), 1e-6
    with tf.GradientTape(persistent=True) as tape:
        variable = tf.Variable(X)
        found = [ops.sum(c) for c in violations(*moments(variable, axis), target, log)]
    for k in range(2):
        ends = [np.sum(constraints(x + s * step * direction, axis, target, log)[k]) for s in (1, -1)]
        assert np.sum(closed[k] * direction) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)
        np.testing.assert_allclose(tape.gradient(found[k], variable), closed[k], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("axis", ["layer", "channel"])
def test_the_loss_is_multipliers_times_constraints_and_the_ascent_follows_them(axis):
    layer = LagrangeNormalization(axis=axis, rate=0.5, initial=0.25, limit=0.6)
    assert layer(X, training=True) is not None
    first, second = constraints(X.astype(np.float64), axis, 1.0, False)
    assert [float(loss) for loss in layer.losses] == pytest.approx(
        [0.25 * first.mean(), 0.25 * second.mean()], rel=1e-5
    )
    np.testing.assert_allclose(layer.mean_multiplier, np.minimum(0.25 + 0.5 * first, 0.6), rtol=1e-5)
    np.testing.assert_allclose(layer.variance_multiplier, np.minimum(0.25 + 0.5 * second, 0.6), rtol=1e-5)
    assert np.max(layer.variance_multiplier) == np.float32(0.6), "capped"


def test_the_output_is_the_input_and_inference_leaves_no_trace():
    layer = LagrangeNormalization()
    for training in (True, False, None):
        np.testing.assert_array_equal(layer(X, training=training), X)
    before = [v.numpy() for v in layer.variables]
    layer(X, training=False)
    assert layer.losses == [] and [v.numpy() for v in layer.variables] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": -1}, r"`axis` must be one of \('layer', 'channel'\). Received: axis=-1"),
        ({"target": 0}, "`target` must be above 0. Received: target=0"),
        ({"rate": -1.0}, "`rate` must be at least 0 and `initial` from 0 to `limit`. Received: rate=-1.0"),
        ({"initial": 11.0}, "Received: rate=0.002, initial=11.0, limit=10.0"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        LagrangeNormalization(**arguments)


@pytest.mark.parametrize("shape", [(None, 8), (1, 8), (None, 1, 1, 8)])
def test_a_channel_of_one_number_has_no_variance(shape):
    with pytest.raises(ValueError, match=r"'n' with axis='channel' must be on a feature map with positions.*axis='lay"):
        LagrangeNormalization("channel", name="n").build(shape)
    LagrangeNormalization("channel").build((None, None, 1, 8))


TEACHER = [RNG.normal(size=(16, 32)) / 4, RNG.normal(size=(32, 4)) / 4]
UNITS = 96
INPUTS = RNG.normal(size=(4500, 16)).astype(np.float32)
LABELS = (np.maximum(INPUTS @ TEACHER[0], 0) @ TEACHER[1]).argmax(-1)
TRAINING = slice(0, 4000)
HELD_OUT = INPUTS[4000:]


def student(**arguments):
    """Dense layers whose weights start 1.6 times too large."""
    keras.utils.set_random_seed(0)
    stack = []
    for k in range(2):
        stack.append(layers.Dense(UNITS, kernel_initializer=keras.initializers.VarianceScaling(2 * 1.6**2, seed=k)))
        stack += [LagrangeNormalization(name=f"n{k}", **arguments), layers.ReLU()]
    model = keras.Sequential([keras.Input((16,)), *stack, layers.Dense(4)])
    compile(model)
    return model


def compile(model, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, global_clipnorm=5)
    model.compile(optimizer, loss, **{"steps_per_execution": 100, "jit_compile": False, **options})


def fit(model, batch, steps, **options):
    chosen = np.arange(batch * steps) % 4000
    return model.fit(INPUTS[chosen], LABELS[chosen], batch_size=batch, shuffle=False, verbose=0, **options)


def held_out(model):
    """Mean and variance of each normalised feature map on data not seen in training."""
    inside = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("n0", "n1")])
    return [tuple(float(v) for v in moments(x)) for x in inside(HELD_OUT)]


@pytest.mark.parametrize(("batch", "steps"), [(1, 2500), (2, 1500), (4, 1500), (8, 1500)])
def test_feature_maps_become_normal_at_any_batch_size(batch, steps):
    model = student(rate=1e-2)
    fit(model, batch, steps)
    for mean, variance in held_out(model):
        assert abs(mean) < 0.15 and abs(variance - 1) < 0.1, held_out(model)


def test_without_multipliers_they_do_not():
    control = student(initial=0.0, rate=0.0)
    fit(control, 8, 1500)
    assert all(variance > 3 for _, variance in held_out(control))


def test_a_learned_target_moves_and_the_variance_follows_it():
    model = student(learn_target=True, target=1.5, rate=1e-2)
    fit(model, 8, 1500)
    targets = [float(model.get_layer(name).current_target) for name in ("n0", "n1")]
    assert all(abs(target - 1.5) > 0.2 for target in targets)
    for (_, variance), target in zip(held_out(model), targets):
        assert variance == pytest.approx(target, rel=0.25)


def test_from_a_large_scale_the_logarithm_gets_there_without_clipping_and_the_square_does_not():
    def descent(log):
        """Variance behind 200 steps on the constraint alone, from about 56 on."""
        import tensorflow as tf

        x = tf.Variable(5 * X)
        for _ in range(200):
            with tf.GradientTape() as tape:
                loss = violations(*moments(x), 1.0, log)[1]
            x.assign_sub(10.0 * tape.gradient(loss, x))
        return float(moments(x)[1])

    assert descent(log=True) == pytest.approx(1, abs=0.05)
    assert not 0.1 < descent(log=False) < 10


class Multipliers(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        named = [v for v in self.model.non_trainable_variables if "multiplier" in v.path]
        self.seen.append([float(v) for v in named])


def test_multipliers_never_fall_and_training_goes_on_from_a_file_as_if_never_interrupted(tmp_path):
    model, trace = student(), Multipliers()
    compile(model, steps_per_execution=1)
    fit(model, 4, 30, callbacks=[trace])
    seen = np.array(trace.seen)
    assert seen.shape == (30, 4) and (np.diff(seen, axis=0) >= 0).all() and (seen[0] > 0.01).all()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(HELD_OUT), model(HELD_OUT))
    resumed = [fit(m, 4, 30) and m.get_weights() for m in (model, again)]
    assert all(np.array_equal(a, b) for a, b in zip(*resumed, strict=True))


@pytest.mark.slow
def test_every_way_to_run_a_step_gives_the_same():
    results = []
    for options in (
        {},
        {"steps_per_execution": 8},
        {"run_eagerly": True, "steps_per_execution": 1},
        {"jit_compile": True},
    ):
        model = student(learn_target=True)
        compile(model, **{"steps_per_execution": 1, **options})
        fit(model, 4, 16)
        results.append([np.array(ops.convert_to_numpy(v)) for v in model.variables])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


def test_under_mixed_precision_the_map_keeps_its_type_and_state_is_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = student()
        assert {model.get_layer(name).output.dtype for name in ("n0", "n1")} == {"bfloat16"}
        fit(model, 4, 16)
        multiplier = model.get_layer("n1").variance_multiplier
        assert multiplier.dtype == "float32" and float(multiplier) > 0.01
        x = ops.cast(X, "bfloat16")
        assert keras.backend.standardize_dtype(LagrangeNormalization()(x, training=True).dtype) == "bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)


PEER = """
import json, sys, keras, numpy as np
from tfcompress.layers import LagrangeNormalization
x = np.linspace(-1, 2, 24, dtype="float32").reshape(2, 3, 4)
layer = LagrangeNormalization("channel", log=True, rate=0.5); layer(x, training=True)
model = keras.Sequential([keras.Input((3,)), LagrangeNormalization(learn_target=True), keras.layers.Dense(1)])
model.compile("adam", "mse"); model.fit(np.ones((16, 3)), np.ones((16, 1)), verbose=0)
values = [[float(loss) for loss in layer.losses], [float(v) for v in layer.variance_multiplier.numpy()]]
print(json.dumps(values))
"""


@pytest.mark.slow
def test_jax_agrees(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    made = subprocess.run([sys.executable, "-c", PEER], capture_output=True, text=True, check=True).stdout
    losses, multipliers = json.loads(made.splitlines()[-1])
    layer = LagrangeNormalization("channel", log=True, rate=0.5)
    layer(np.linspace(-1, 2, 24, dtype="float32").reshape(2, 3, 4), training=True)
    assert losses == pytest.approx([float(loss) for loss in layer.losses], rel=1e-5)
    assert multipliers == pytest.approx(np.array(layer.variance_multiplier), rel=1e-5)
