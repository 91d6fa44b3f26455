import keras
import numpy as np
import pytest
from keras import ops

import tfcompress as tfc
from tfcompress.measured import Measured


@keras.saving.register_keras_serializable("tests")
class Scaled(Measured):
    """Divides by the largest value, and adds the mean, of what it saw first."""

    def build(self, input_shape):
        self.mean, self.unit = self.add_measured("mean"), self.add_measured("unit", (1, input_shape[-1]))

    @property
    def measured(self):
        return self.unit, self.mean

    def measure(self, x):
        return ops.max(x, axis=0, keepdims=True), ops.mean(x)

    def call(self, x, training=None):
        if training:
            self.measure_once(x)
        return x / ops.convert_to_tensor(self.unit) + self.mean


FIRST = np.array([[1, 2, 3], [4, 8, 6]], "float32")
SCALED = FIRST / [4, 8, 6] + 4


@pytest.fixture
def model():
    inputs = keras.Input((3,))
    return keras.Model(inputs, Scaled(name="scaled")(inputs))


def test_nothing_but_nan_until_something_is_measured(model):
    assert np.isnan(model(FIRST)).all()


def test_the_first_training_call_decides_and_no_later_one(model):
    np.testing.assert_allclose(model(FIRST, training=True), SCALED)
    np.testing.assert_allclose(model(5 * FIRST, training=True), 5 * (SCALED - 4) + 4)


def test_fit_measures_inside_the_graph(model):
    trained = keras.Sequential([model, keras.layers.Dense(1)])
    trained.compile("sgd", "mse")
    trained.fit(np.concatenate([FIRST, 9 * FIRST]), np.zeros((4, 1)), batch_size=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_layer("scaled").unit, [[4, 8, 6]])


def test_calibrate_measures_anew_and_training_keeps_it(model):
    model(9 * FIRST, training=True)
    model.get_layer("scaled").calibrate(FIRST)
    np.testing.assert_allclose(model(FIRST, training=True), SCALED)


def test_a_file_remembers_what_was_measured(model, tmp_path):
    model(FIRST, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    again(9 * FIRST, training=True)
    np.testing.assert_allclose(again(FIRST), SCALED)


def test_base_class_asks_for_measure():
    with pytest.raises(NotImplementedError, match="Measured must define `measure`"):
        Measured().measure(FIRST)


def test_state_is_float32_is_not_trained_and_starts_as_told():
    layer = tfc.Transform()
    state = layer.add_state("count", "ones", (2,), "int32")
    assert (state.dtype, state.trainable, state.shape) == ("int32", False, (2,))
    assert layer.add_state("unit").dtype == "float32"
    np.testing.assert_array_equal(state, [1, 1])
