import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import tfcompress as tfc
from tfcompress import LookUpTable, MagnitudePruning, PolynomialDecay, testing
from tfcompress.weight_tying import look_up_table


def built(transform, x):
    transform.build(x.shape)
    transform.built = True
    return transform


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def snapped(entries):
    """The nearest 8-bit codes, from the definition."""
    step = np.abs(entries).max() / 127
    return np.rint(entries / step) * step


def test_a_step_of_training_by_hand():
    """The gradient is taken at the tied weights, goes to the latent ones, and the next means are theirs."""
    w0, lr = normal(6, 4), 0.1
    dense = tfc.Compressed(keras.layers.Dense(4, use_bias=False), {"kernel": LookUpTable(3)})
    model = keras.Sequential([keras.Input((6,)), dense])
    table, kernel = dense.transforms["kernel"], dense.layer.kernel
    kernel.assign(w0)
    table.dictionary.assign([-1.0, 0.1, 1.0])
    x, y = normal(8, 6, seed=1), normal(8, 4, seed=2)
    model.compile(keras.optimizers.SGD(lr), "mse")

    def means(w, d):
        assigned = np.abs(w[..., None] - d).argmin(axis=-1)
        return np.array([w[assigned == k].mean() for k in range(3)], "float32"), assigned

    model.fit(x, y, batch_size=8, verbose=0)
    d0, a0 = means(w0, np.float32([-1.0, 0.1, 1.0]))
    np.testing.assert_allclose(table.dictionary, d0, rtol=1e-5)
    gradient = x.T @ (2 * (x @ snapped(d0)[a0] - y)) / y.size
    w1 = w0 - lr * gradient
    np.testing.assert_allclose(kernel, w1, rtol=0, atol=1e-6)
    model.fit(x, y, batch_size=8, verbose=0)
    np.testing.assert_allclose(table.dictionary, means(w1, d0)[0], rtol=1e-5)
    assert not any(v is table.dictionary for v in [*model.trainable_variables, *model.optimizer.variables])


def test_the_gradient_is_passed_on_unchanged():
    x = tf.Variable(normal(5, 4))
    transform = built(LookUpTable(4), x)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(transform(x, training=True) * 3.0)
    np.testing.assert_array_equal(tape.gradient(total, x), np.full((5, 4), 3.0))


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        ({"size": 16}, 16),
        ({"size": 5, "zero": True}, 5),
        ({"size": 16, "values": "power_of_two"}, 15),
        ({"size": 4, "values": "power_of_two"}, 4),
        ({"values": "ternary"}, 3),
        ({"values": "binary"}, 2),
        ({"values": [-2, -0.5, 1, 3]}, 4),
        ({"values": "ternary", "sparsity": PolynomialDecay(0, 0.7, 2, 10)}, 3),
        ({"size": 8, "values": "power_of_two", "sparsity": 0.6}, 8),
        ({"size": 4, "axis": -1}, 4 * 10),
        ({"size": 3, "iterations": 4}, 3),
    ],
    ids=str,
)
def test_after_training_there_are_no_more_values_than_asked_for(arguments, most):
    x = normal(20, 10)
    transform = built(LookUpTable(**arguments), x)
    for k in range(12):
        transform(x + 0.1 * normal(20, 10, seed=k), training=True)
    y, grid = np.array(transform(x)), transform.grid(x)
    assert len(np.unique(y)) <= most and {*np.unique(y)} <= {*np.ravel(grid.values)}
    assert len(np.unique(np.array(transform(x, training=True)))) <= most
    if arguments.get("values") == "power_of_two":
        mantissas, exponents = np.frexp(np.abs(y[y != 0]))
        assert np.all(mantissas == 0.5) and np.ptp(exponents) <= 6
    if "sparsity" in arguments:
        assert np.mean(y == 0) >= transform.sparsity(20) - 1 / x.size
    if arguments.get("axis"):
        assert max(len(np.unique(column)) for column in y.T) == 4 and len(np.unique(y)) > 20
    np.testing.assert_array_equal(grid.decode(grid.encode(y)), y)


def test_each_channel_is_clustered_alone():
    x = normal(30, 3) * [1, 10, 100]
    together = built(LookUpTable(4, axis=-1), x)
    together.calibrate(x)
    for k in range(3):
        alone = built(LookUpTable(4), x[:, k])
        alone.calibrate(x[:, k])
        np.testing.assert_array_equal(together(x)[:, k], alone(x[:, k]))


def test_entries_that_are_not_rounded_are_delivered_as_they_are():
    """And own no grid, so that a transform which quantises may follow."""
    x, entries = normal(12, 5), np.float32([-1.03, -0.2, 0.07, 0.9])
    table = built(LookUpTable(4, rounded=False), x)
    table.dictionary.assign(entries)
    assert set(np.unique(table(x))) == set(entries) and table.grid(x) is None
    assert not np.array_equal(np.unique(built(LookUpTable(4), x).kind.deployed(entries[None])), entries)
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(5, name="d")])
    small = tfc.compress(model, {"d": {"kernel": tfc.Chain([LookUpTable(4, rounded=False), tfc.MinMax()])}})
    weight, grid = tfc.deployed(small.get_layer("d"), "kernel")
    np.testing.assert_array_equal(grid.decode(grid.encode(weight)), weight)
    assert all(len(np.unique(column)) <= 4 for column in weight.T)


def test_calibration_runs_k_means_until_it_settles():
    x = normal(400)
    transform = built(LookUpTable(8), x)
    assert np.isnan(transform(x)).all()
    transform.calibrate(x)
    first = np.array(transform.dictionary)
    for _ in range(5):
        transform.update(x)
    np.testing.assert_allclose(transform.dictionary, first, atol=0.02)
    evenly_spaced = np.abs(x[:, None] - np.linspace(x.min(), x.max(), 8)).min(axis=1)
    assert np.mean((np.array(transform(x)) - x) ** 2) < 0.7 * np.mean(evenly_spaced**2)


def test_the_first_training_call_calibrates_inside_the_graph():
    x = normal(400)
    transform, twin = built(LookUpTable(8), x), built(LookUpTable(8), x)
    y = tf.function(lambda x: transform(x, training=True))(x)
    twin.calibrate(x)
    np.testing.assert_allclose(y, twin(x, training=True), atol=1e-5)


def test_without_calibration_the_grid_is_refused():
    with pytest.raises(ValueError, match=r"LookUpTable 'mine' must be calibrated.*Received"):
        built(LookUpTable(4, name="mine"), normal(9)).grid(normal(9))


def test_zeros_follow_the_schedule_and_pruned_weights_come_back():
    x = normal(10, 10)
    transform = built(LookUpTable(16, sparsity=PolynomialDecay(0.0, 0.8, 0, 8, power=1)), x)
    zeros = [np.mean(np.array(transform(x, training=True)) == 0) for _ in range(10)]
    assert all(share >= 0.1 * min(k, 8) - 0.01 for k, share in enumerate(zeros)) and zeros[0] < 0.3
    small = np.unravel_index(np.argmin(np.abs(x)), x.shape)
    x[small] = 5.0
    assert np.array(transform(x))[small] > 1.5


@pytest.mark.parametrize(
    "arguments", [{"size": 4}, {"size": 4, "values": "power_of_two"}, {"values": "binary"}, {"size": 4, "axis": -1}]
)
def test_zeros_that_come_in_stay_zero(arguments):
    x = normal(20, 6)
    chain = built(tfc.Chain([MagnitudePruning(0.5), LookUpTable(**arguments)]), x)
    chain.calibrate(x)
    for _ in range(3):
        y = np.array(chain(x, training=True))
        pruned = np.array(chain.transforms[0](x)) == 0
        assert pruned.sum() == 60 and np.all(y[pruned] == 0)
    y = np.array(chain(x))
    assert np.all(y[pruned] == 0) and {*np.unique(y)} <= {*np.ravel(chain.grid(x).values)}
    assert len(np.unique(chain.grid(x).values)) <= (3 if "values" in arguments and "size" not in arguments else 24)
    if arguments == {"size": 4}:
        assert len(np.unique(y)) <= 4


def test_an_entry_that_stays_empty_moves_to_the_weight_of_largest_error(monkeypatch):
    monkeypatch.setattr(look_up_table, "PATIENCE", 3)
    x = np.float32([-1.0, -0.9, 0.9, 1.0, 1.1, 4.0])
    transform = built(LookUpTable(3), x)
    transform.dictionary.assign([-1.0, 1.5, 90.0])
    for _ in range(3):
        transform(x, training=True)
    assert transform.dictionary[-1] == 90 and np.isfinite(transform.dictionary).all()
    for _ in range(3):
        y = transform(x, training=True)
    np.testing.assert_allclose(transform.dictionary, [-0.95, 1.0, 4.0], rtol=1e-5)
    assert len(np.unique(y)) == 3 and not np.any(transform.empty)


def test_weights_that_do_not_fill_the_dictionary_all_have_their_own_entry():
    x = normal(5)
    transform = built(LookUpTable(16), x)
    transform.calibrate(x)
    assert len(np.unique(transform(x))) == 5
    np.testing.assert_allclose(transform(x), x, atol=np.abs(x).max() / 250)


def test_more_iterations_are_more_steps_of_k_means():
    x = normal(200)
    once, thrice = built(LookUpTable(6), x), built(LookUpTable(6, iterations=3), x)
    for transform in (once, thrice):
        transform.dictionary.assign(np.linspace(-1, 1, 6))
    for _ in range(3):
        once(x, training=True)
    thrice(x, training=True)
    np.testing.assert_allclose(thrice.dictionary, once.dictionary, rtol=1e-6)


def test_eight_steps_in_one_execution_make_the_same_dictionaries():
    x = normal(64, 8)

    def trained(**options):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="dense")])
        small = tfc.compress(model, {"dense": {"kernel": LookUpTable(4)}})
        small.compile("adam", "mse", **options)
        small.fit(x, x, batch_size=8, verbose=0)
        return small.get_layer("dense")

    one, eight = trained(), trained(steps_per_execution=8)
    np.testing.assert_array_equal(one.transforms["kernel"].dictionary, eight.transforms["kernel"].dictionary)
    np.testing.assert_array_equal(one.layer.kernel, eight.layer.kernel)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"iterations": 0}, "`iterations`"),
        ({"size": 1}, "`size` must be from 2 to 256"),
        ({"values": "binary", "sparsity": 0.5}, "`zero` and `sparsity` need a 0"),
        ({"sparsity": 1.0}, "`target_sparsity`"),
        ({"values": [0, 1], "rounded": False}, "`rounded=False` goes with values='free'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"({message}).*Received: "):
        LookUpTable(**arguments)


def test_feature_maps_are_refused():
    with pytest.raises(ValueError, match="'mine' must be on a weight"):
        LookUpTable(4, name="mine").build((None, 4))


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 40, "axis": 0},
        {"values": [-1, -0.25, 0.25, 1], "scaled": True},
        {"size": 8, "values": "power_of_two", "sparsity": 0.6, "axis": (-1,)},
    ],
    ids=str,
)
def test_unusual_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: LookUpTable(**arguments), (3, 4, 5))


@pytest.fixture(scope="module")
def digits():
    """Data and a trained network, small enough to suffer."""
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(24, activation="relu"), keras.layers.Dense(24, activation="relu")]
    model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10)])
    data = (x[:1200], labels[:1200]), (x[1200:], labels[1200:])
    return compiled(model, 3e-3, *data[0], epochs=15), data


def compiled(model, rate, x, y, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=50, epochs=epochs, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [LookUpTable(4), LookUpTable(3, "power_of_two", zero=True), LookUpTable(3, "ternary", 0.7)],
    ids=["2_bit", "pow2", "70%"],
)
def test_training_beats_clustering_afterwards(digits, table):
    model, (train, test) = digits
    small = compiled(tfc.compress(model, {".*": {"kernel": table}}), 2e-3, *train, epochs=0)
    afterwards = small.evaluate(*test, verbose=0)[1]
    trained = compiled(small, 2e-3, *train, epochs=8).evaluate(*test, verbose=0)[1]
    assert trained > afterwards + 0.03, (afterwards, trained)
