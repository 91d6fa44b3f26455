"""Law L4: everything that is learned gets a gradient, finite and not zero, and moves in ``fit``."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, Case, alone, compressed, data, state, tensor, trained

from tfcompress import testing


@pytest.mark.parametrize("case", CASES, ids=str)
def test_variables_of_a_transform_move(case: Case) -> None:
    testing.check_learning(lambda: alone(case), tensor(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_trainable_variable_gets_a_gradient_and_moves(case: Case) -> None:
    model = compressed(case)
    x, y = data()
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, model(x, training=True))
        loss += sum(model.losses)  # what `fit` minimises
    for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
        assert np.isfinite(gradient).all() and np.any(gradient), variable.path
    before, after = state(compressed(case)), state(trained(case))
    for k, variable in enumerate(model.variables):
        if variable.trainable:
            name = f"model {k}"
            assert np.isfinite(after[name]).all() and not np.array_equal(before[name], after[name]), variable.path


@pytest.mark.parametrize("case", [c for c in CASES if "lsq" in c.name and c.slot == "kernel"], ids=str)
def test_gradient_of_the_ratio_is_that_of_the_paper(case: Case) -> None:
    """Closed form, computed in NumPy: (code - x / s) inside, code outside; over sqrt(N * high) and the unit."""
    transform, x = alone(case), tensor(case)
    transform.build(x.shape)
    transform.built = True
    transform.calibrate(x)
    lsq = transform.transforms[-1] if hasattr(transform, "transforms") else transform
    lsq.ratio.assign(0.7 * lsq.ratio)
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    with tf.GradientTape() as tape:
        y = transform(x, training=True)
        total = tf.reduce_sum(y * upstream)
    step, unit = np.array(lsq.step), lsq.unit.numpy()
    high = 2 ** (lsq.bits - 1) - 1
    x = x if lsq is transform else np.array(transform.transforms[0](x))
    inside = np.abs(x / step) <= high + 0.5
    slope = np.where(inside, np.array(y) / step - x / step, np.sign(x) * high)
    axes = tuple(a for a in range(2) if step.shape[a] == 1)
    expected = np.sum(upstream * slope, axis=axes, keepdims=True) / np.sqrt(x.size / step.size * high) / unit
    np.testing.assert_allclose(tape.gradient(total, lsq.ratio), expected, rtol=2e-4, atol=1e-5)
    assert not inside.all()


@pytest.mark.parametrize("case", [c for c in CASES if c.kind == "prunes" and c.name.startswith("pruning")], ids=str)
def test_gradient_of_magnitude_pruning_is_the_slope_of_finite_differences(case: Case) -> None:
    transform, x = alone(case), tensor(case)
    transform.build(x.shape)
    transform.built = True
    for _ in range(7):
        transform(x, training=True)
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(transform(variable) ** 2)
    gradient, size = tape.gradient(total, variable).numpy(), 1e-2
    for index in np.ndindex(x.shape):
        ends = [x.copy(), x.copy()]
        ends[0][index] -= size
        ends[1][index] += size
        low, high = (np.sum(np.array(transform(end), "float64") ** 2) for end in ends)
        np.testing.assert_allclose(gradient[index], (high - low) / (2 * size), rtol=1e-3, atol=1e-4)
