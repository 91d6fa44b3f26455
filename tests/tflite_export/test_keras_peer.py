import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.keras_peer import allowed_steps, keras_peer
from tflite_export.verification import PeerFailed


def test_weights_on_a_trained_grid_leave_one_step(network):
    assert set(allowed_steps(network).values()) == {1}


def test_weights_that_the_export_rounded_may_move_a_result_further(network):
    steps = allowed_steps(replace(network, metadata={}))
    assert steps[3] == 1 + np.ceil(27 * 255 / 2 * 0.5 * np.float32(0.04) / 1.5)
    assert steps[5] == 1


def doubled(name):
    """y = x + x on the grid of step 0.5, where ``y`` is called ``name``."""
    grid = Quantization(np.float32([0.5]), np.array([0]))
    tensors = (Tensor("x", (1, 2), "int8", grid), Tensor(name, (1, 2), "int8", grid))
    return Graph(tensors, (Op("ADD", (0, 0), (1,)),), (0,), (1,))


def model():
    x = keras.Input((2,), name="x")
    return keras.Model(x, layers.Add(name="y")([x, x]))


def test_a_tensor_is_computed_from_the_tensors_before_it():
    ours = {0: np.int8([[1, -2], [3, 100]]), 1: np.zeros((2, 2), np.int8)}
    theirs = keras_peer(doubled("y"), model())(ours)
    assert theirs.keys() == {1}
    np.testing.assert_array_equal(theirs[1], [[2, -4], [6, 127]])


def test_a_graph_without_a_name_of_the_model_cannot_be_compared():
    with pytest.raises(PeerFailed, match="comes from a layer of model"):
        keras_peer(doubled("z"), model())({0: np.zeros((1, 2), np.int8), 1: np.zeros((1, 2), np.int8)})
