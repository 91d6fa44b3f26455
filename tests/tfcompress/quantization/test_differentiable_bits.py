import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcompress as tfc
from tfcompress import DifferentiableBits
from tfcompress.quantization.differentiable_bits import bits_of, held, powers
from tfcompress.quantization.learned_bits import highest, rounded_up


def weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def calibrated(x, **arguments):
    transform = DifferentiableBits(**{"narrow_range": True, **arguments})
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    return transform


def curve(x, q, d, t=None, signed=True):
    numbers = [tf.constant(v, "float32") for v in (np.ones([1] * np.ndim(x)), q, d)]
    return powers(tf.constant(x, "float32"), *numbers, None if t is None else tf.constant(t, "float32"), signed).numpy()


def test_values_by_hand():
    """q = 1, d = 1/3: thirds up to 1. With t = 2, squares to the nearest third; d = 1/2, q = 1.2 saturates at 1.5."""
    np.testing.assert_allclose(curve([-9, -0.4, 0.1, 0.6, 2], 1, 1 / 3), [-1, -1 / 3, 0, 2 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(curve([-0.6, 0.3, 0.9, 2], 1, 1 / 3, 2.0), [-1 / 3, 0, 2 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(curve([1.0, 1.3, 7, -7], 1.2, 1 / 2, 2.0), [1, 1.5, 1.5, -1.5], rtol=1e-6)
    np.testing.assert_allclose(curve([-5, 0.4, 5], 1, 1 / 3, signed=False), [0, 1 / 3, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("q", "d", "t", "signed"), [(0.8, 0.11, 1.3, True), (1.1, 0.3, 0.7, True), (0.9, 0.2, 1.0, False)]
)
def test_gradients_are_the_slopes_of_the_smooth_surrogate(q, d, t, signed):
    """The surrogate keeps each value's rounding: sign * (u + d * r) with r = round(u / d) - u / d held fast."""
    x, upstream = weights(40), weights(40, seed=1).astype("float64")
    numbers = [tf.Variable(v) for v in np.float32([q, d, t])]
    with tf.GradientTape() as tape:
        y = powers(x, tf.ones(1), *numbers, signed=signed)
        total = tf.reduce_sum(y * tf.cast(upstream, "float32"))
    found = tape.gradient(total, numbers)

    def power(q, t):
        return np.minimum(np.abs(x) if signed else np.maximum(x, 0), np.float64(q)) ** t

    rest = np.rint(power(q, t) / d) - power(q, t) / d

    def surrogate(q, d, t):
        return np.sum(upstream * np.sign(x) * (power(q, t) + d * rest))

    for k in range(3):
        ends = [[q, d, t], [q, d, t]]
        ends[0][k], ends[1][k] = ends[0][k] - 1e-6, ends[1][k] + 1e-6
        slope = (surrogate(*ends[1]) - surrogate(*ends[0])) / 2e-6
        assert float(found[k]) == pytest.approx(slope, rel=2e-4) and abs(slope) > 1e-3


def test_gradient_of_the_values_is_one_inside_and_zero_outside():
    x = tf.Variable([-2.0, -0.3, 0.0, 0.9, 1.1])
    for signed, expected in ((True, [0, 1, 1, 1, 0]), (False, [0, 0, 1, 1, 0])):
        with tf.GradientTape() as tape:
            y = powers(x, tf.ones(1), tf.constant(1.0), tf.constant(0.25), signed=signed)
        np.testing.assert_array_equal(tape.gradient(y, x), expected)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_the_width_that_is_asked_for_is_read_back(bits, signed):
    transform = calibrated(np.abs(weights(64, 8)), bits=bits, axis=-1, signed=signed, learned_exponent=signed)
    assert float(transform.soft_bits) == pytest.approx(bits, abs=1e-5) and transform.width == bits
    grid = transform.grid(None)
    assert (grid.bits, grid.high) == (bits, highest(bits, signed))
    codes = grid.encode(np.array(transform(np.abs(weights(64, 8)))))
    assert codes.max() == grid.high and transform.unit.shape == (1, 8)


def test_wider_steps_and_lower_maxima_are_fewer_bits_rounded_up_at_inference():
    transform = calibrated(weights(64, 8), axis=-1, widths=(2, 4, 8))
    wider = lambda: (float(transform.soft_bits), transform.width)  # noqa: E731
    transform.log_step.assign(np.log(127 / 20) / 30)
    assert wider() == (pytest.approx(np.log2(20 + 1) + 1, abs=1e-4), 8)
    transform.log_maximum.assign(np.log(0.2) / 10)
    assert wider() == (pytest.approx(np.log2(4 + 1) + 1, abs=1e-4), 4)
    transform.log_maximum.assign(np.log(0.01) / 10)
    assert wider() == (pytest.approx(2, abs=1e-4), 2)
    assert rounded_up(4.0005, (2, 4, 8)) == 4 and rounded_up(4.01, (2, 4, 8)) == 8


def test_the_price_of_bits_widens_the_step_and_lowers_the_maximum():
    transform = calibrated(weights(64, 8), axis=-1, learned_exponent=True)
    with tf.GradientTape() as tape:
        bits = transform.soft_bits
    by_maximum, by_step, _ = tape.gradient(bits, transform.trainable_variables)
    assert float(by_step) < 0 < float(by_maximum)


def test_fixed_width_is_kept_whatever_training_does_and_is_not_paid_for():
    x = weights(64, 8)
    transform = calibrated(x, axis=-1, price=1.0)
    transform(x, training=True)
    assert float(transform.losses[0]) == pytest.approx(8, abs=1e-4)
    transform.fixed.assign(3)
    for log_maximum, log_step in ((0.0, 0.0), (-0.1, 0.02), (0.05, -0.3)):
        transform.log_maximum.assign(log_maximum)
        transform.log_step.assign(log_step)
        y = np.array(transform(x, training=True))
        assert transform.width == transform.grid(x).bits == 3 and len(np.unique(y[:, 0])) <= 7
        assert float(transform.soft_bits) == pytest.approx(3, abs=1e-4) and not np.any(transform.losses)


def test_a_limit_holds_without_shutting_the_way_back():
    value = tf.Variable([0.5, 2.0, 0.5, 2.0, 1.2])
    low, high = tf.Variable(1.0), tf.Variable(1.5)
    with tf.GradientTape() as tape:
        y = held(value, low, high)
        total = tf.reduce_sum(y * [1.0, -1.0, -1.0, 1.0, 1.0])
    np.testing.assert_array_equal(y, np.float32([1, 1.5, 1, 1.5, 1.2]))
    np.testing.assert_array_equal(tape.gradient(total, value), [0, 0, -1, 1, 1])


def test_a_map_saturates_at_inference_where_its_codes_end():
    transform = calibrated(np.abs(weights(64, 8)), axis=(), signed=False, bits=4)
    transform.log_step.assign(np.log(15 / 9.4) / 30)
    x = np.float32([[0.5, 40.0]])
    step = float(transform.step[0, 0])
    assert np.array(transform(x, training=True))[0, 1] == pytest.approx(9 * step)
    assert np.array(transform(x))[0, 1] == pytest.approx(15 * step) and transform.grid(None).high == 15


def test_bits_formula():
    assert float(bits_of(tf.constant(1.0), tf.constant(1 / 7))) == pytest.approx(4)
    assert float(bits_of(tf.constant(2.0), tf.constant(4 / 15), 2.0, signed=False)) == pytest.approx(4)


def test_slot_decides_about_the_exponent_and_inputs_stay_as_they_are():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu", name="dense")])
    small = tfc.compress(model, {".*": {"kernel": DifferentiableBits(), "output": DifferentiableBits()}})
    kernel, (image, out) = small.get_layer("dense").transforms["kernel"], small.layers[0::2]
    assert kernel.exponent is not None and out.exponent is None and not out.is_signed
    assert not image.trainable_variables and len(out.trainable_variables) == 2


@pytest.mark.parametrize("arguments", [{"bits": 9}, {"widths": (4, 2)}, {"widths": ()}, {"price": -1}, {"bits": 1}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{'bits' if 'bits' in arguments else next(iter(arguments))}` must"):
        DifferentiableBits(**arguments)


def test_the_grid_of_an_uncalibrated_transform_is_refused():
    transform = DifferentiableBits(axis=())
    transform.build((4, 4))
    with pytest.raises(ValueError, match="must be calibrated"):
        transform.grid(None)
    assert np.isnan(transform(weights(4, 4))).all()
    transform(weights(4, 4), training=True)
    assert np.isfinite(transform(weights(4, 4))).all()


def test_a_price_alone_lowers_the_width():
    keras.utils.set_random_seed(0)
    x = weights(256, 12)
    dense = [layers.Dense(8, name=name) for name in ("free", "paid")]
    inputs = keras.Input((12,))
    model = keras.Model(inputs, [layer(inputs) for layer in dense])
    rules = {name: {"kernel": DifferentiableBits(price=price)} for name, price in (("free", 0.0), ("paid", 0.3))}
    model = tfc.compress(model, rules)
    model.compile(keras.optimizers.Adam(3e-3), ["mse", "mse"])
    model.fit(x, [x[:, :8], x[:, :8]], batch_size=16, epochs=3, verbose=0)
    free, paid = (model.get_layer(name).transforms["kernel"].width for name in ("free", "paid"))
    assert free >= 7 and paid <= 5
