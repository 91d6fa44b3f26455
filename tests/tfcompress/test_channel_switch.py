"""Products with decisions, whoever makes the decisions in training."""

import numpy as np
import pytest
from keras import ops

from tfcompress.channel_switch import ChannelSwitch, Step

X = np.arange(1, 13, dtype=np.float32).reshape(2, 1, 2, 3)
LOGITS = np.array([[1.0, 0.0, -1.0], [1e-7, 5.0, -1e-7]], np.float32)


class Halves(ChannelSwitch):
    """Half of everything in training."""

    def gates(self, logits):
        return 0 * logits + 0.5


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 1, 3)])
def test_inference_lets_through_what_has_a_logit_above_zero(shape):
    switched = np.asarray(Halves()([X, LOGITS.reshape(shape)]))
    expected = X * np.array([[1, 0, 0], [1, 1, 0]], np.float32).reshape(2, 1, 1, 3)
    np.testing.assert_array_equal(switched, expected)


def test_training_multiplies_by_what_the_subclass_says():
    np.testing.assert_array_equal(Halves()([X, LOGITS], training=True), X / 2)


def test_the_features_keep_their_type_and_small_logits_their_sign():
    made = Halves()([ops.cast(X, "bfloat16"), ops.cast(LOGITS, "bfloat16")])
    assert str(made.dtype).endswith("bfloat16'>") or "bfloat16" in str(made.dtype)
    np.testing.assert_array_equal(ops.cast(made, "float32")[1, 0, 0], [7, 8, 0])


def test_a_switch_without_gates_says_so():
    with pytest.raises(NotImplementedError, match="ChannelSwitch must define `gates`"):
        ChannelSwitch()([X, LOGITS], training=True)


def test_a_step_is_one_above_zero_only():
    np.testing.assert_array_equal(Step()(LOGITS), [[1, 0, 0], [1, 1, 0]])
