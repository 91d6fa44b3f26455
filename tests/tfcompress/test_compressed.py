import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.compressed import Compressed, deployed
from tfcompress.structure import slots

CASES = {
    "Dense": (lambda: layers.Dense(3), (4,), ["kernel", "bias"]),
    "Conv1D": (lambda: layers.Conv1D(3, 3), (8, 4), ["kernel"]),
    "Conv2D": (lambda: layers.Conv2D(3, 3), (8, 8, 4), ["kernel"]),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), ["kernel"]),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 3), (8, 8, 4), ["depthwise_kernel", "pointwise_kernel"]),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 3), (8, 8, 4), ["kernel"]),
    "EinsumDense": (lambda: layers.EinsumDense("abc,cd->abd", (None, 5)), (6, 4), ["kernel"]),
    "Embedding": (lambda: layers.Embedding(10, 3, mask_zero=True), (6,), ["embeddings"]),
    "LSTM": (
        lambda: layers.LSTM(3, dropout=0.2, recurrent_dropout=0.2, seed=1),
        (5, 4),
        ["cell.kernel", "cell.recurrent_kernel"],
    ),
    "GRU": (lambda: layers.GRU(3, dropout=0.2, seed=1), (5, 4), ["cell.kernel"]),
    "Bidirectional": (
        lambda: layers.Bidirectional(layers.LSTM(3, dropout=0.2, seed=1)),
        (5, 4),
        ["forward_layer.cell.kernel", "backward_layer.cell.kernel"],
    ),
}


def wrapped(toys, case):
    """A model of one Compressed layer, calibrated, and data for it."""
    make, shape, names = CASES[case]
    layer = Compressed(make(), {slot: toys.Rounding(6, axis=()) for slot in names})
    inputs = keras.Input(shape, dtype="int32" if case == "Embedding" else "float32")
    model = keras.Model(inputs, layer(inputs))
    for slot, transform in layer.transforms.items():
        variable = slots.weight(layer.layer, slot)
        variable.assign(toys.rng.normal(size=variable.shape))
        transform.calibrate(slots.tensor(variable))
    x = toys.rng.integers(0, 10, (8, *shape)) if case == "Embedding" else toys.rng.normal(size=(8, *shape))
    return model, layer, x, toys.rng.normal(size=model(x).shape)


@pytest.mark.parametrize("case", CASES)
def test_layer_trains_through_its_transforms_and_reloads_without_scope(case, toys, tmp_path):
    model, layer, x, y = wrapped(toys, case)
    before = {v.path: slots.numpy(v) for v in layer.variables}
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    model.fit(x, y, batch_size=4, verbose=0)
    still = [v.path for v in layer.variables if np.array_equal(slots.numpy(v), before[v.path])]
    assert not still, "latent weights, steps, counters and seeds all move in fit"
    assert all(slots.numpy(t.count) == 2 for t in layer.transforms.values())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


@pytest.mark.parametrize("case", CASES)
def test_layer_computes_with_the_deployed_weight(case, toys):
    model, layer, x, _ = wrapped(toys, case)
    plain = CASES[case][0]()
    plain.build(model.input_shape)
    for slot, variable in slots.weight_slots(plain).items():
        weight, grid = deployed(layer, slot)
        variable.assign(weight)
        assert (grid is None) == (slot not in layer.transforms)
        assert grid is None or np.array_equal(grid.decode(grid.encode(weight)), weight)
    np.testing.assert_array_equal(ops.convert_to_numpy(plain(x)), ops.convert_to_numpy(layer(x)))


def test_latent_weight_stays_untouched_by_a_call(toys):
    _, layer, x, _ = wrapped(toys, "Dense")
    latent = slots.numpy(layer.layer.kernel)
    layer(x, training=True)
    np.testing.assert_array_equal(latent, slots.numpy(layer.layer.kernel))
    assert not np.array_equal(latent, ops.convert_to_numpy(layer.effective("kernel")))


@pytest.mark.parametrize("eager", [True, False])
def test_moving_statistics_move_as_in_the_plain_layer(eager, toys):
    x = toys.rng.normal(3.0, 2.0, (16, 4)).astype("float32")
    plain, wrapper = layers.BatchNormalization(), Compressed(layers.BatchNormalization(), {"gamma": toys.Unchanged()})
    for layer in (plain, wrapper):
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile("sgd", "mse", run_eagerly=eager)
        model.fit(x, x, batch_size=4, shuffle=False, verbose=0)
    for name in ("moving_mean", "moving_variance", "gamma", "beta"):
        ours, theirs = getattr(wrapper.layer, name), getattr(plain, name)
        np.testing.assert_allclose(slots.numpy(ours), slots.numpy(theirs), rtol=1e-5)


def test_stateful_rnn_remembers(toys):
    x = toys.rng.normal(size=(2, 3, 4)).astype("float32")
    plain = layers.LSTM(3, stateful=True)
    plain(x)
    wrapper = Compressed(layers.LSTM.from_config(plain.get_config()), {"cell.kernel": toys.Unchanged()})
    wrapper(x)
    for old, new in zip(plain.weights, wrapper.layer.weights, strict=True):
        new.assign(old)
    for layer in (plain, wrapper.layer):
        layer.reset_state()
    for _ in range(2):
        np.testing.assert_array_equal(ops.convert_to_numpy(plain(x)), ops.convert_to_numpy(wrapper(x)))


def test_losses_of_the_layer_count_once(toys):
    def model(wrap):
        keras.utils.set_random_seed(1)
        dense = layers.Dense(
            4, activity_regularizer=keras.regularizers.L2(0.1), kernel_regularizer=keras.regularizers.L2(0.01)
        )
        layer = Compressed(dense, {"kernel": toys.Unchanged()}) if wrap else dense
        inputs = keras.Input((4,))
        made = keras.Model(inputs, layer(layer(inputs)))
        made.compile("sgd", "mse")
        return made

    x = toys.rng.normal(size=(8, 4)).astype("float32")
    assert model(True).evaluate(x, x, verbose=0) == pytest.approx(model(False).evaluate(x, x, verbose=0), rel=1e-6)


@pytest.mark.parametrize("eager", [True, False])
def test_layer_called_twice_updates_its_transform_once_a_step(eager, toys):
    layer = Compressed(layers.Dense(4), {"kernel": toys.Rounding()})
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(layer(inputs)))
    model.compile("sgd", "mse", run_eagerly=eager)
    x = toys.rng.normal(size=(12, 4)).astype("float32")
    model.fit(x, x, batch_size=4, verbose=0)
    assert slots.numpy(layer.transforms["kernel"].count) == 3
    for steps in (4, 5):  # called on its own, every call is a step
        layer.layer.kernel.assign_add(np.ones((4, 4)))
        layer(x, training=True)
        assert slots.numpy(layer.transforms["kernel"].count) == steps


def test_masks_and_initial_states_reach_the_layer(toys):
    tokens = toys.rng.integers(0, 3, (4, 6))
    table = layers.Embedding(3, 4, mask_zero=True)
    lstm = layers.LSTM(5, return_state=True)
    after = layers.LSTM(5)
    inputs = keras.Input((6,), dtype="int32")
    _, *state = lstm(table(inputs))
    plain = keras.Model(inputs, after(table(inputs), initial_state=state))
    table_, lstm_, after_ = (
        Compressed(table, {"embeddings": toys.Unchanged()}),
        Compressed(lstm, {"cell.kernel": toys.Unchanged()}),
        Compressed(after, {"cell.kernel": toys.Unchanged()}),
    )
    _, *state = lstm_(table_(inputs))
    ours = keras.Model(inputs, after_(table_(inputs), initial_state=state))
    np.testing.assert_array_equal(plain.predict(tokens, verbose=0), ours.predict(tokens, verbose=0))


def test_grid_is_exact_under_mixed_precision(toys):
    layer = Compressed(layers.Dense(3, dtype="mixed_bfloat16"), {"kernel": toys.Rounding(4, axis=(-1,))})
    x = toys.rng.normal(size=(4, 5)).astype("float32")
    assert layer(x).dtype == "bfloat16"
    layer.transforms["kernel"].calibrate(slots.tensor(layer.layer.kernel))
    weight, grid = deployed(layer, "kernel")
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(grid.decode(grid.encode(weight)), weight)


def test_unknown_slot_is_refused_with_the_slots_there_are(toys):
    layer = Compressed(layers.LSTM(3, name="rnn"), {"kernel": toys.Unchanged()})
    with pytest.raises(ValueError, match=r"'rnn' \(LSTM\).*'cell.bias', 'cell.kernel', 'cell.recurrent_kernel'"):
        layer(np.zeros((1, 2, 4), "float32"))
    with pytest.raises(ValueError, match=r"tfcompress.compress places a transform behind"):
        Compressed(layers.Dense(3), {"output": toys.Unchanged()}).build((None, 4))


def test_transform_that_cannot_apply_is_named_with_layer_and_slot(toys):
    layer = Compressed(layers.Conv2D(3, 3, name="stem"), {"kernel": toys.OnlyMatrices()})
    with pytest.raises(ValueError, match=r"'stem' .*OnlyMatrices cannot be applied to slot 'kernel' of shape .*matrix"):
        layer.build((None, 8, 8, 3))


def test_wrapping_twice_or_without_transforms_is_refused(toys):
    layer = Compressed(layers.Dense(3, name="head"), {"kernel": toys.Unchanged()})
    with pytest.raises(ValueError, match=r"'head' must not be Compressed twice.*Chain"):
        Compressed(layer, {"bias": toys.Unchanged()})
    for transforms in ({}, {"kernel": "LSQ"}):
        with pytest.raises(ValueError, match=r"'head': `transforms` must be a non-empty dict"):
            Compressed(layers.Dense(3, name="head"), transforms)


def test_deployed_reads_plain_layers_and_refuses_unknown_slots():
    layer = layers.Dense(3, name="head")
    with pytest.raises(ValueError, match=r"'head' must be built"):
        deployed(layer, "kernel")
    layer.build((None, 4))
    weight, grid = deployed(layer, "kernel")
    assert grid is None
    np.testing.assert_array_equal(weight, slots.numpy(layer.kernel))
    with pytest.raises(ValueError, match=r"Received: slot='kernal'"):
        deployed(layer, "kernal")


def test_frozen_layer_keeps_its_slots_and_its_weights(toys):
    dense = layers.Dense(3)
    dense.trainable = False
    layer = Compressed(dense, {"kernel": toys.Rounding()})
    layer.build((None, 4))
    assert [v.path for v in layer.trainable_variables] == [layer.transforms["kernel"].step.path]
