"""How often gates are open, and gates that never change."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.layers import ChannelGate

X = np.random.default_rng(0).normal(size=(40, 6, 6, 2)).astype(np.float32)
LABELS = (X[..., 0].mean(axis=(1, 2)) > 0).astype(int)


@pytest.fixture(scope="module")
def model():
    """Gate channels 0 to 3: always on, always off, on for class 1, on for class 0."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    gate = ChannelGate(units=2, normalize=False, name="gate")
    x = layers.Conv2D(3, 3, name="last")(gate([x, inputs]))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    gate.hidden.kernel.assign([[1.0, -1.0], [0.0, 0.0]])
    gate.hidden.bias.assign([0.0, 0.0])
    gate.logits.kernel.assign([[0.1, 0.1, 1.0, -1.0], [0.1, 0.1, -1.0, 1.0]])
    gate.logits.bias.assign([1.0, -1.0, 0.0, 0.0])
    return model


def test_rates_are_counted_by_channel_and_by_class(model):
    share = LABELS.mean()
    (rates,) = tfc.gate_rates(model, X, batch_size=16).values()
    np.testing.assert_allclose(rates, [1, 0, share, 1 - share])
    by_class = tfc.gate_rates(model, X, LABELS)
    assert list(by_class) == ["gate"]
    np.testing.assert_array_equal(by_class["gate"], [[1, 0, 0, 1], [1, 0, 1, 0]])


def test_rates_are_those_of_the_compressed_model(model):
    small = tfc.compress(model, {".*": {"kernel": tfc.LSQ(8), "output": tfc.LSQ(8)}})
    tfc.calibrate(small, X)
    rates = tfc.gate_rates(small, X)
    assert list(rates) == ["gate"] and np.abs(rates["gate"] - tfc.gate_rates(model, X)["gate"]).max() < 0.1


def test_settled_channels_are_removed_and_the_others_still_look(model):
    small = tfc.edits.remove_channels(tfc.edits.settle_gates(model, X))
    assert small.get_layer("conv").filters == 3 and model.get_layer("conv").filters == 4
    np.testing.assert_allclose(small(X), model(X), atol=1e-6)
    np.testing.assert_array_equal(tfc.gate_rates(small, X, LABELS)["gate"], [[1, 0, 1], [1, 1, 0]])
    always = tfc.edits.settle_gates(small, X)
    far = 100 * X + 50
    np.testing.assert_array_equal(tfc.gate_rates(always, far)["gate"][0], 1)


def test_a_gate_that_is_always_open_goes(model):
    open_ = keras.models.clone_model(model)
    open_.set_weights(model.get_weights())
    open_.get_layer("gate").logits.bias.assign([50.0] * 4)
    settled = tfc.edits.settle_gates(open_, X)
    np.testing.assert_array_equal(settled(X), open_(X))
    with pytest.raises(ValueError, match="must have channel gates. Use tfcompress.edits.insert_channel_gates"):
        tfc.gate_rates(settled, X)
    assert tfc.edits.remove_channels(settled).count_params() <= open_.count_params()


def test_labels_must_fit(model):
    with pytest.raises(ValueError, match="`labels` must hold a class for each of 40 samples. Received: 3"):
        tfc.gate_rates(model, X, [0, 1, 2])
