import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
from tfcompress import Grid, JointPruneQuantize, gradients, testing
from tfcompress.joint import average, prune_quantize

WIDTHS = (2, 3, 4, 5, 6, 7, 8)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def on_weight(snap_step=10, shape=(16, 6), calibrate=True, **arguments):
    slot = {"axis": -1, "signed": True, "narrow_range": True, "momentum": 0}
    return ready(JointPruneQuantize(snap_step, **{**slot, **arguments}), shape, normal(*shape) if calibrate else None)


def on_map(snap_step=10, shape=(8, 6), x=None, **arguments):
    slot = {"axis": (), "signed": False, "narrow_range": False, "momentum": 0.9}
    return ready(JointPruneQuantize(snap_step, **{**slot, **arguments}), shape, x)


def ready(transform, shape, x):
    transform.build(shape)
    transform.built = True
    if x is not None:
        transform.calibrate(x)
    return transform


def plain(x, bits, signed=True, narrow_range=True, axis=0, reach=None):
    """A fake quantiser of one width over the range of ``x``."""
    grid = Grid(1.0, bits, signed=signed, narrow_range=narrow_range)
    reach = np.max(np.abs(x), axis=axis, keepdims=True) if reach is None else reach
    return gradients.multiples(tf.constant(x), reach * np.float32(1 / grid.high), float(grid.low), float(grid.high))


def losses(transform, x, upstream):
    """The task's loss and the price, and the gradients of the task's loss."""
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        task = tf.reduce_sum(transform(x, training=True) * upstream)
    variables = [v.value for v in transform.trainable_variables]
    return float(task), float(sum(transform.losses)), tape.gradient(task, [x, *variables])


# One width


@pytest.mark.parametrize("chosen", range(7))
@pytest.mark.parametrize("slot", ["weight", "relu", "signed map"])
def test_one_share_is_a_plain_quantizer_of_that_width_bit_for_bit(slot, chosen):
    x, shares = normal(50, 6), np.eye(7, dtype="float32")[chosen]
    signs = {"weight": (True, True), "relu": (False, False), "signed map": (True, False)}[slot]
    reach = np.max(np.abs(x), axis=0, keepdims=True) * (1 if slot == "weight" else 0.7)
    codes = [Grid(1.0, b, signed=signs[0], narrow_range=signs[1]) for b in WIDTHS]
    y = average.average(tf.constant(x), tf.constant(shares), tf.constant(reach), codes, slot != "weight")
    np.testing.assert_array_equal(y, plain(x, WIDTHS[chosen], *signs, reach=reach))


@pytest.mark.parametrize("make", [on_weight, lambda: on_map(x=normal(8, 6))])
def test_behind_the_snap_training_computes_what_inference_computes(make):
    transform, x = make(), np.maximum(normal(16, 6), 0)[: make().get_config()["snap_step"] - 2]
    transform = ready(type(transform).from_config(transform.get_config()), x.shape, x)
    transform.step.assign(10)
    for _ in range(3):
        transform.logits.assign(transform.logits + normal(7))  # a choice that was made stays
        trained = np.array(transform(x, training=True))
        np.testing.assert_array_equal(trained, transform(x, training=False))


def test_the_widths_of_a_weight_are_those_of_its_grid_and_the_largest_weight_is_its_end():
    transform, x = on_weight(), normal(16, 6)
    for k, bits in enumerate(WIDTHS):
        transform.logits.assign(np.eye(7)[k])
        grid = transform.grid(x)
        codes = grid.encode(np.array(transform(x)))
        assert grid.bits == bits and len(np.unique(codes)) <= 2**bits - 1
        np.testing.assert_array_equal(np.max(np.abs(codes), axis=0), 2 ** (bits - 1) - 1)


# Gradients


@pytest.mark.parametrize("step", [0, 5, 7])
def test_gradient_of_the_logits_is_the_closed_form_and_that_of_finite_differences(step):
    transform, x, upstream = on_weight(), normal(16, 6), normal(16, 6, seed=1)
    transform.logits.assign(0.02 * normal(7, seed=2))
    transform.step.assign(step)
    tau = 100 ** max(0, 1.5 * step / 10 - 0.5)
    powers = np.exp(tau * 10 * transform.logits.numpy())
    p = powers / powers.sum()
    z = x / np.sqrt(np.mean(x**2))
    h = 1 + np.tanh(10 * tau * (z - 0.25)) / 2 - np.tanh(10 * tau * (z + 0.25)) / 2
    reach = np.max(np.abs(x), axis=0, keepdims=True)
    levels = [np.array(plain((x * h).astype("float32"), b, reach=reach)) for b in WIDTHS]
    task = np.array([np.sum(upstream * level) for level in levels])
    expected = 10 * tau * p * (task - p @ task)

    value, _, grads = losses(transform, x, upstream)
    assert value == pytest.approx(p @ task, rel=1e-4)
    by_logits = grads[1 + [v.name for v in transform.trainable_variables].index("logits")]
    np.testing.assert_allclose(by_logits, expected, rtol=2e-3, atol=1e-3 * np.abs(expected).max())

    start, size, slopes = transform.logits.numpy(), 1e-3 / tau, []
    for k in range(7):
        ends = []
        for sign in (-1, 1):
            transform.logits.assign(start + sign * size * np.eye(7)[k])
            transform.step.assign(step)
            ends.append(losses(transform, x, upstream)[0])
        slopes.append((ends[1] - ends[0]) / (2 * size))
    np.testing.assert_allclose(slopes, by_logits, rtol=2e-2, atol=2e-2 * np.abs(expected).max())


def test_gradient_of_the_weights_is_that_of_the_soft_mask_and_passes_rounding():
    transform, x, upstream = on_weight(), normal(16, 6), normal(16, 6, seed=1)
    _, _, (by_x, *_) = losses(transform, x, upstream)
    z = x.astype("float64") / np.sqrt(np.mean(x.astype("float64") ** 2))

    def soft(z):
        return z * (1 + np.tanh(10 * (z - 0.25)) / 2 - np.tanh(10 * (z + 0.25)) / 2)

    expected = upstream * (soft(z + 1e-5) - soft(z - 1e-5)) / 2e-5
    np.testing.assert_allclose(by_x, expected, rtol=1e-3, atol=1e-4)


def test_threshold_and_sharpness_get_the_gradient_of_task_and_price():
    transform, x = on_weight(kept_penalty=0.1), normal(16, 6)
    transform.step.assign(3)

    def total():
        transform.step.assign(3)
        with tf.GradientTape() as tape:
            y = transform(tf.constant(x), training=True)
            loss = 0.0 * tf.reduce_sum(y) + sum(transform.losses)  # rounding has no slope for finite differences
        return float(loss), tape.gradient(loss, [transform.log_alpha.value, transform.log_beta.value])

    slopes = total()[1]
    for variable, slope in zip((transform.log_alpha, transform.log_beta), slopes):
        start, ends = variable.numpy(), []
        for sign in (-1, 1):
            variable.assign(start + sign * 1e-3)
            ends.append(total()[0])
        variable.assign(start)
        assert float(slope) == pytest.approx((ends[1] - ends[0]) / 2e-3, rel=1e-2) and float(slope) != 0
    _, _, grads = losses(transform, x, normal(16, 6, seed=1))
    assert all(np.all(np.isfinite(g)) and np.any(g) for g in grads)


def test_a_map_passes_gradients_inside_its_range_only():
    transform = on_map(x=np.full((1, 3), 2.0, "float32"))
    _, _, (by_x, _) = losses(transform, np.float32([[-1, 1, 2, 9]] * 2)[:, :4], np.ones((2, 4), "float32"))
    np.testing.assert_array_equal(by_x, [[0, 1, 1, 0]] * 2)


# Prices


@pytest.mark.parametrize(("step", "part"), [(0, 0.0), (4, 0.4), (10, 1.0), (29, 1.0)])
def test_the_price_is_a_plain_sum_that_rises_over_the_first_third(step, part):
    transform = on_weight(30, kept_penalty=0.01, bit_penalty=0.003, bits=(2, 4))
    transform.logits.assign([0.0, 0.0])
    transform.log_beta.assign(1.0)  # edges like steps
    transform.step.assign(step)
    x = normal(16, 6)
    kept = np.sum(np.abs(x) >= 0.25 * np.sqrt(np.mean(x**2)))
    assert losses(transform, x, x)[1] == pytest.approx(part * (0.01 * kept + 0.003 * x.size * 3), rel=1e-4)


def test_a_map_pays_for_the_values_of_one_example():
    transform = on_map(bit_penalty=0.1, bits=(2, 4), kept_penalty=5.0, shape=(8, 3, 5), x=normal(8, 3, 5))
    transform.logits.assign([0.0, 0.0])
    transform.step.assign(5)
    assert losses(transform, normal(8, 3, 5), normal(8, 3, 5))[1] == pytest.approx(0.1 * 15 * 3, rel=1e-5)


# State


def test_mask_and_width_are_frozen_at_the_snap_step():
    transform, x = on_weight(3), normal(16, 6)
    for _ in range(4):
        transform(x, training=True)
    mask, bits = transform.mask.numpy(), transform.grid(x).bits
    np.testing.assert_array_equal(mask, np.abs(x) >= 0.25 * transform.unit.numpy())
    assert 0 < np.mean(mask) < 1 and bits == 8
    transform.log_alpha.assign(3.0)
    transform.logits.assign(np.eye(7)[0])
    other = normal(16, 6, seed=5)
    for training in (True, False):
        y = np.array(transform(other, training=training))
        np.testing.assert_array_equal(y == 0, ~mask | (plain(other, 8) == 0))
    assert transform.grid(other).bits == 8


def test_before_the_snap_inference_follows_threshold_and_logits():
    transform, x = on_weight(), normal(16, 6)
    transform(x, training=True)
    transform.log_alpha.assign(0.0)
    transform.logits.assign(np.eye(7)[3])
    np.testing.assert_array_equal(np.array(transform(x)) == 0, np.abs(x) < transform.unit.numpy())
    assert transform.grid(x).bits == 5


def test_one_weight_is_always_kept():
    transform, x = on_weight(), normal(16, 6)
    transform.log_alpha.assign(50.0)
    y = np.array(transform(x))
    assert np.sum(y != 0) == 1 and np.argmax(np.abs(y)) == np.argmax(np.abs(x))
    assert np.isfinite(transform(x, training=True)).all()


def test_the_range_of_a_map_is_a_moving_one_and_that_of_weights_their_own():
    transform = on_map(x=np.full((2, 6), 2.0, "float32"))
    transform(np.full((8, 6), 4.0, "float32"), training=True)
    assert float(transform.reach.numpy().item()) == pytest.approx(0.9 * 2 + 0.1 * 4)
    assert float(np.ravel(on_weight(axis=()).grid(np.float32([[-3]])).scale)[0]) == pytest.approx(3 / 127)


def test_the_first_training_call_measures_what_was_not_calibrated():
    x = normal(16, 6)
    weight = on_weight(calibrate=False)
    assert np.isnan(weight(x)).all()
    weight(x, training=True)
    np.testing.assert_array_equal(weight.unit, on_weight().unit)
    feature_map = on_map()
    assert np.isnan(feature_map(x)).all()
    with pytest.raises(ValueError, match=r"must be calibrated.*tfcompress\.calibrate"):
        feature_map.grid(x)
    feature_map(x, training=True)
    assert feature_map.reach.numpy().item() == x.max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": (1, 2)}, "`bits` must be ascending whole numbers from 2 to 16"),
        ({"bits": (4, 2)}, "`bits` must be ascending"),
        ({"bits": ()}, "`bits` must be ascending"),
        ({"begin_step": 10}, "`snap_step` above it"),
        ({"kept_penalty": -1.0}, "`kept_penalty` must be at least 0"),
        ({"bit_penalty": float("nan")}, "`bit_penalty` must be at least 0"),
        ({"momentum": 1.0}, "`momentum` must be"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        JointPruneQuantize(10, **arguments)


def test_weights_only_transforms_refuse_maps():
    with pytest.raises(ValueError, match="'mine'.*must be on a weight"):
        JointPruneQuantize(10, momentum=0, name="mine").build((None, 4))


@pytest.mark.parametrize("arguments", [{"momentum": 0, "axis": (), "narrow_range": True}, {"bits": (4,), "axis": -1}])
def test_other_arguments_keep_the_laws(arguments):
    testing.check_transform(lambda: JointPruneQuantize(3, **arguments), (4, 5, 3))


# Learning, on handwritten digits

SNAP = 6 * 22


def digits():
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype("float32")
    return x[:1347], labels[:1347], x[1347:], labels[1347:]


class Bench:
    """A trained network with transforms everywhere, compiled once: prices are variables, and runs start afresh."""

    def __init__(self):
        keras.utils.set_random_seed(0)
        hidden = [layers.Dense(n, activation="relu", name=name) for n, name in ((48, "first"), (32, "second"))]
        model = keras.Sequential([keras.Input((64,), name="pixels"), *hidden, layers.Dense(10, name="last")])
        self.fit(self.compile(model), 10)
        quantizer = JointPruneQuantize(SNAP, axis=())
        self.model = tfc.compress(model, {".*": {"kernel": quantizer, "output": quantizer}})
        tfc.calibrate(self.model, digits()[0][:256])
        self.kernels = [x.transforms["kernel"] for x in self.model.layers if isinstance(x, tfc.Compressed)]
        self.maps = [layer for layer in self.model.layers if isinstance(layer, JointPruneQuantize)]
        self.prices = {name: tf.Variable(0.0) for name in ("kept", "weight", "map")}
        for transforms, name in ((self.kernels, "weight"), (self.maps, "map")):
            for transform in transforms:
                transform.kept_penalty, transform.bit_penalty = self.prices["kept"], self.prices[name]
        self.compile(self.model).optimizer.build(self.model.trainable_variables)
        self.start = [v.numpy() for v in self.variables]

    @property
    def variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    @staticmethod
    def compile(model):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3), loss)
        return model

    @staticmethod
    def fit(model, epochs):
        x, y, *_ = digits()
        model.fit(x, y, batch_size=64, epochs=epochs, shuffle=False, verbose=0)

    def run(self, epochs=8, first_weight=None, **prices):
        for variable, value in zip(self.variables, self.start):
            variable.assign(value)
        if first_weight is not None:
            kernel = self.model.get_layer("first").layer.kernel
            kernel.assign(tf.tensor_scatter_nd_update(kernel.value, [[0, 0]], [first_weight]))
        for name, price in self.prices.items():
            price.assign(prices.get(name, 0.0))
        self.fit(self.model, epochs)
        return self

    def bits(self, transforms):
        return [t.bits[int(t.chosen)] for t in transforms]

    def quantities(self):
        """Share of weights kept, mean bits of a weight, mean bits of a value of a map."""
        masks = [t.mask.numpy() for t in self.kernels]
        kept = sum(m.sum() for m in masks) / sum(m.size for m in masks)
        weight = np.average(self.bits(self.kernels), weights=[m.size for m in masks])
        return kept, weight, np.average(self.bits(self.maps), weights=[64, 48, 32, 10])


@pytest.fixture(scope="module")
def bench():
    return Bench()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("knob", "prices", "least_effect"),
    [("kept", [1e-4, 3e-4, 3e-3], 0.5), ("weight", [1e-6, 1e-5, 1e-3], 4), ("map", [1e-5, 1e-4, 1e-2], 4)],
)
def test_each_price_lowers_its_own_quantity(bench, knob, prices, least_effect):
    k = ["kept", "weight", "map"].index(knob)
    start = bench.run().quantities()
    assert min(start[1:]) > 7.4 and start[0] > 0.8  # the loss does not tell seven bits from eight
    ends = [bench.run(**{knob: price}).quantities() for price in prices]
    values = [start[k], *(end[k] for end in ends)]
    assert all(a > b for a, b in itertools.pairwise(values)) and values[0] - values[-1] > least_effect, values
    for end in ends:  # those of the other two stay within what training does to them anyway
        others = [abs(a - b) / b for j, (a, b) in enumerate(zip(end, start)) if j != k]
        assert max(others) < 0.3, ends


@pytest.mark.slow
def test_what_snaps_was_trained_to_be_what_it_becomes(bench, monkeypatch):
    """Where the snap is due, the soft network is the hard one; without a rising temperature it is not."""
    *_, x, y = digits()

    def gap(bench):
        bench.run(epochs=6, kept=3e-4, weight=1e-4, map=1e-5)
        for transform in (*bench.kernels, *bench.maps):
            transform.step.assign(SNAP - 1)
        shares = [np.max(t._shares(prune_quantize.HARDEST)) for t in bench.kernels]
        soft, hard = (np.argmax(bench.model(x, training=soft), axis=1) for soft in (True, False))
        return abs(np.mean(soft == y) - np.mean(hard == y)), min(shares)

    annealed = gap(bench)
    assert annealed[0] < 0.005 and annealed[1] > 0.99
    monkeypatch.setattr(prune_quantize, "HARDEST", 1.0)
    constant = gap(Bench())
    assert constant[0] > 0.01 and constant[1] < 0.9, constant


@pytest.mark.slow
def test_a_sensitive_layer_ends_with_more_bits(bench):
    """The weight of a pixel that is always dark may be huge; it costs the other weights of its layer resolution."""
    assert not np.any(digits()[0][:, 0])
    usual, sensitive = (bench.bits(bench.run(weight=1e-5, first_weight=w).kernels) for w in (None, 10.0))
    assert sensitive[0] >= usual[0] + 2 and sensitive[0] > sensitive[1], (usual, sensitive)
    assert max(abs(a - b) for a, b in zip(usual[1:], sensitive[1:])) <= 1, (usual, sensitive)
