"""Each law of ``check_transform`` must fail for a transform that breaks it."""

import keras
import numpy as np
import pytest
from keras import ops

from tfcompress import Grid, Transform, testing

SHAPE = (6, 4)


@keras.saving.register_keras_serializable("tests_of_testing")
class Sound(Transform):
    """Rounds to multiples of a learned step; the faults below override one thing each."""

    def build(self, shape):
        self.step = self.add_weight((), keras.initializers.Constant(0.25), name="step")
        self.calls = self.add_weight((), "zeros", name="calls", trainable=False)

    def rounded(self, x):
        codes = ops.clip(x / self.step, -127, 127)
        return (ops.stop_gradient(ops.round(codes)) + (codes - ops.stop_gradient(codes))) * self.step

    def call(self, x, training=None):
        if training:
            self.calls.assign(self.calls + 1)
        return self.rounded(x)

    def grid(self, x):
        return Grid(ops.convert_to_numpy(self.step), 8, narrow_range=True)


class Truncates(Sound):
    def call(self, x, training=None):
        return self.rounded(x)[:, :1]


class CountsAlways(Sound):
    def call(self, x, training=None):
        self.calls.assign(self.calls + 1)
        return self.rounded(x)


class TrainsByDefault(Sound):
    def call(self, x, training=True):
        return self.rounded(x) if training is False else x


class OffItsGrid(Sound):
    def call(self, x, training=None):
        return self.rounded(x) * 1.001


class MovesZero(Sound):
    def call(self, x, training=None):
        return self.rounded(x) + ops.stop_gradient(self.step)


@keras.saving.register_keras_serializable("tests_of_testing")
class Forgets(Sound):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x, training=None):
        return self.rounded(x) * self.factor

    def get_config(self):
        return super().get_config()


@keras.saving.register_keras_serializable("tests_of_testing")
class KeepsStateOutsideOfVariables(Sound):
    def calibrate(self, x):
        self.memory = 0.5

    def call(self, x, training=None):
        return self.rounded(x) * getattr(self, "memory", 1.0)


class DiffersWhenCompiled(Sound):
    def call(self, x, training=None):
        return self.rounded(x) * (1.0 if isinstance(x, np.ndarray) or hasattr(x, "numpy") else 2.0)


class DoesNotLearn(Sound):
    def rounded(self, x):
        return ops.stop_gradient(super().rounded(x))


class FollowsThePolicy(Sound):
    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": keras.config.dtype_policy()})


class DividesByTheLargest(Sound):
    def call(self, x, training=None):
        return self.rounded(x / ops.max(ops.abs(x)))


FAULTS = [
    (testing.check_shape_and_type, Truncates),
    (testing.check_inference_is_pure, CountsAlways),
    (testing.check_inference_is_pure, TrainsByDefault),
    (testing.check_grid, OffItsGrid),
    (testing.check_zero, MovesZero),
    (testing.check_config, lambda: Forgets(factor=2.0)),
    (testing.check_file, KeepsStateOutsideOfVariables),
    (testing.check_compiled, DiffersWhenCompiled),
    (testing.check_learning, DoesNotLearn),
    (testing.check_mixed_precision, FollowsThePolicy),
    (testing.check_odd_tensors, DividesByTheLargest),
]


def test_a_sound_transform_passes():
    testing.check_transform(Sound, SHAPE)


@pytest.mark.parametrize(("law", "factory"), FAULTS, ids=lambda f: getattr(f, "__name__", "factory"))
def test_a_broken_law_is_seen(law, factory):
    with pytest.raises(AssertionError):
        law(factory, np.random.default_rng(0).normal(size=SHAPE).astype("float32"))


def test_every_law_has_a_fault_that_it_sees():
    assert {law for law, _ in FAULTS} == set(testing.LAWS)


def test_the_message_names_the_law():
    with pytest.raises(AssertionError, match="^check_zero: zeros became something else"):
        testing.check_transform(MovesZero, SHAPE)


def test_the_policy_is_put_back():
    before = keras.config.dtype_policy()
    with pytest.raises(AssertionError):
        testing.check_mixed_precision(FollowsThePolicy, np.ones(SHAPE, "float32"))
    assert keras.config.dtype_policy() == before
