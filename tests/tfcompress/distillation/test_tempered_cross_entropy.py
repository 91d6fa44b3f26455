import keras
import numpy as np
import pytest

from tfcompress.distillation import TemperedCrossEntropy


def test_hand_value():
    """Softmax of (ln 4, 0) / 2 is (2, 1) / 3."""
    loss = TemperedCrossEntropy(2.0)(np.array([[0.5, 0.5]]), np.array([[np.log(4.0), 0.0]]))
    assert float(loss) == pytest.approx(4 * -0.5 * (np.log(2 / 3) + np.log(1 / 3)), rel=1e-6)


def test_one_is_plain_cross_entropy_and_the_configuration_comes_back():
    rng = np.random.default_rng(0)
    t, z = rng.dirichlet(np.ones(4), 5).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    plain = keras.losses.CategoricalCrossentropy(from_logits=True)(t, z)
    assert float(TemperedCrossEntropy(1.0)(t, z)) == pytest.approx(float(plain), rel=1e-6)
    assert keras.losses.deserialize(keras.losses.serialize(TemperedCrossEntropy(3.0))).temperature == 3.0


def test_gradients_stay_about_as_large_at_any_temperature():
    """d loss / d z = T * (softmax(z / T) - t), which for small logits is (z - mean z) / n - T * (t - 1 / n)."""
    z = np.array([[0.02, -0.01, -0.01]])
    steps = [float(TemperedCrossEntropy(t)(np.full((1, 3), 1 / 3), z)) for t in (1.0, 4.0)]
    rests = [s - t**2 * np.log(3) for s, t in zip(steps, (1.0, 4.0))]
    assert rests[0] == pytest.approx(rests[1], rel=0.05) and rests[0] > 0


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="`temperature` must be positive. Received: temperature=0"):
        TemperedCrossEntropy(0)
