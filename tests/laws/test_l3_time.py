"""Law L3: the result does not depend on how Keras runs the steps."""

import functools

import keras
import numpy as np
import pytest
from cases import CASES, Case, alone, assert_same, data, fit, one_of_each, side_by_side, state, tensor
from keras import layers

import tfcompress as tfc
from tfcompress import testing

STATEFUL = [case for case in CASES if case.slot == "kernel" and "pruning" in case.name]


WAYS = {
    "a step at a time": {},
    "eight steps at once": {"steps_per_execution": 8},
    "eager": {"run_eagerly": True},
    "jit": {"jit_compile": True},
}


@functools.cache
def after(way: str) -> keras.Model:
    """The networks of one case of each technique, side by side, behind eight steps."""
    return fit(side_by_side(one_of_each()), **WAYS[way])


def assert_same_as_step_by_step(way: str, case: Case, tolerance: float = 0) -> None:
    usual, other = (state(after(w).get_layer(case.name)) for w in ("a step at a time", way))
    assert_same(usual, other, tolerance)


@pytest.mark.parametrize("case", one_of_each(), ids=str)
def test_eight_steps_in_one_execution_are_eight_steps(case: Case) -> None:
    assert_same_as_step_by_step("eight steps at once", case)


@pytest.mark.parametrize("case", one_of_each(), ids=str)
def test_eager_training_equals_training_in_a_graph(case: Case) -> None:
    assert_same_as_step_by_step("eager", case, tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in one_of_each() if not case.random], ids=str)
def test_jit_compiled_training_is_the_same_up_to_rounding(case: Case) -> None:
    assert_same_as_step_by_step("jit", case, tolerance=1e-3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_call_equals_eager_call(case: Case) -> None:
    testing.check_compiled(lambda: alone(case), tensor(case))


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"steps_per_execution": 8}], ids=str)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_layer_called_twice_updates_its_state_once_a_step(case: Case, compiled: dict) -> None:
    keras.utils.set_random_seed(0)
    shared = layers.Dense(8, name="shared")
    inputs = keras.Input((8,))
    model = tfc.compress(keras.Model(inputs, shared(shared(inputs))), {"shared": {"kernel": case.factory()}})
    x = np.random.default_rng(0).normal(size=(64, 8))
    model.compile("sgd", "mse", **compiled)
    model.fit(x, x, batch_size=8, verbose=0)
    counters = [v for v in model.variables if v.name == "step"]
    assert [int(v) for v in counters] == [8]


def test_data_is_long_enough_for_a_whole_execution() -> None:
    assert len(data()[0]) == 64
