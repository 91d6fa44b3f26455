import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcompress.schedules import ConstantSparsity, PolynomialDecay, Ramp, Schedule


def test_polynomial_by_hand():
    schedule = PolynomialDecay(0.2, 0.8, begin_step=10, end_step=20)
    values = [float(schedule(step)) for step in (0, 10, 15, 20, 99)]
    np.testing.assert_allclose(values, [0.2, 0.2, 0.8 - 0.6 * 0.5**3, 0.8, 0.8], rtol=1e-6)
    assert values[-1] == np.float32(0.8)


def test_constant_is_constant():
    assert [float(ConstantSparsity(0.5, 0)(step)) for step in (0, 1, 1000)] == [0.5] * 3


def test_masks_change_every_frequency_steps_and_at_the_end():
    schedule = PolynomialDecay(0.0, 0.5, begin_step=3, end_step=12, frequency=4)
    assert [step for step in range(20) if schedule.due(step)] == [3, 7, 11, 12]
    assert [step for step in range(20) if schedule.due(step, frequency=6)] == [3, 9, 12]


def test_a_schedule_without_end_is_due_for_ever():
    schedule = ConstantSparsity(0.5, begin_step=2, frequency=500)
    assert [step for step in range(2000) if schedule.due(step)] == [2, 502, 1002, 1502]


@pytest.mark.parametrize("schedule", [PolynomialDecay(0.1, 0.9, 5, 25, frequency=3), ConstantSparsity(0.3, 5, 25, 3)])
def test_the_graph_gives_what_python_gives(schedule: Schedule):
    @tf.function
    def in_graph(step):
        return schedule(step), schedule.due(step)

    for step in range(30):
        value, due = in_graph(tf.constant(step))
        assert float(value) == pytest.approx(float(schedule(step)), rel=1e-6)
        assert bool(due) == bool(schedule.due(step))


def test_values_are_those_of_tfmot():
    sparsity = pytest.importorskip("tensorflow_model_optimization").sparsity.keras
    theirs, ours = sparsity.PolynomialDecay(0.1, 0.9, 2, 50), PolynomialDecay(0.1, 0.9, 2, 50)
    for step in range(60):
        np.testing.assert_allclose(float(ours(step)), float(theirs(tf.constant(step))[1]), rtol=1e-6)


@pytest.mark.parametrize("schedule", [PolynomialDecay(0.1, 0.9, 5, 25, 2, 7), ConstantSparsity(0.3, 5, 25, 3)])
def test_configuration_comes_back(schedule: Schedule):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(copy) is type(schedule) and vars(copy) == vars(schedule)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ConstantSparsity(1.0), "target_sparsity"),
        (lambda: ConstantSparsity(-0.1), "target_sparsity"),
        (lambda: ConstantSparsity(0.5, begin_step=-1), "begin_step"),
        (lambda: ConstantSparsity(0.5, begin_step=5, end_step=4), "end_step"),
        (lambda: ConstantSparsity(0.5, frequency=0), "frequency"),
        (lambda: PolynomialDecay(0.0, 0.5, 0, -1), "end_step"),
        (lambda: PolynomialDecay(1.5, 0.5, 0, 1), "initial_sparsity"),
        (lambda: PolynomialDecay(0.0, 1.5, 0, 1), "final_sparsity"),
    ],
)
def test_arguments_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: .*{name}="):
        make()


def test_a_schedule_must_say_what_it_is():
    with pytest.raises(NotImplementedError, match="Schedule must define"):
        Schedule(0, 1, 1)(0)


def test_a_ramp_is_a_straight_line():
    values = [float(Ramp(2, 6, final=3.0, initial=1.0)(step)) for step in (0, 2, 3, 6, 9)]
    np.testing.assert_allclose(values, [1, 1, 1.5, 3, 3])
    with pytest.raises(ValueError, match="`end_step` must.*Received: end_step=-1"):
        Ramp(2, -1)
    assert Ramp.from_config(Ramp(2, 6, 3.0).get_config()).get_config() == Ramp(2, 6, 3.0).get_config()


def test_a_geometric_ramp_falls_by_equal_factors():
    ramp = Ramp(2, 6, final=0.05, initial=0.5, geometric=True)
    np.testing.assert_allclose([float(ramp(k)) for k in (0, 2, 4, 6, 9)], [0.5, 0.5, 0.025**0.5, 0.05, 0.05], rtol=1e-6)
    assert vars(Ramp.from_config(ramp.get_config())) == vars(ramp)
    with pytest.raises(ValueError, match="ends must be above 0. Received: final=1.0, initial=0.0"):
        Ramp(0, 1, geometric=True)
