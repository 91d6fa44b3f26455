"""Bidirectional and TimeDistributed, opened: the calls inside compute what the wrapper computes."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
from tfcompress.structure.expand import expand
from tfcompress.structure.groups import core
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import trace


def opened(layer: layers.Layer, shape: tuple[int, ...] = (5, 4)) -> list[str]:
    """Names of the layers inside; the opened model is checked against the model."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    steps, x = expand(trace(model)), np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    evaluate = replay(steps, {steps.inputs[0]: x})
    for value, expected in zip(steps.outputs, keras.tree.flatten(model(x)), strict=True):
        np.testing.assert_allclose(evaluate(value), expected, rtol=1e-5, atol=1e-6)
    return [type(core(call.layer)).__name__ for call in steps.calls[1:]]


@pytest.mark.parametrize(
    ("mode", "merge"), [("concat", ["Concatenate"]), ("sum", ["Add"]), ("mul", ["Multiply"]), (None, [])]
)
def test_a_bidirectional_is_two_layers_and_a_merge(mode: str | None, merge: list[str]) -> None:
    last, whole = layers.GRU(3), layers.GRU(3, return_sequences=True)
    assert opened(layers.Bidirectional(last, merge_mode=mode)) == ["GRU", "GRU", *merge]
    assert opened(layers.Bidirectional(whole, merge_mode=mode)) == ["GRU", "GRU", "ReverseTime", *merge]


def test_the_backward_layer_may_be_another_one() -> None:
    backward = layers.LSTM(3, go_backwards=True, use_bias=False)
    assert opened(layers.Bidirectional(layers.LSTM(3), backward_layer=backward)) == ["LSTM", "LSTM", "Concatenate"]


def test_time_distributed_layers_that_treat_all_steps_alike_are_those_layers() -> None:
    assert opened(layers.TimeDistributed(layers.Dense(3))) == ["Dense"]
    assert opened(layers.TimeDistributed(layers.BatchNormalization())) == ["BatchNormalization"]
    assert opened(layers.TimeDistributed(layers.Conv1D(2, 2)), (5, 4, 3)) == ["TimeDistributed"]


def test_transforms_and_their_slots_come_along() -> None:
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layers.Bidirectional(layers.LSTM(3), name="both")(inputs))
    small = tfc.compress(model, {"both": {"recurrent_kernel": tfc.GatePruning(sparsity=0.5)}})
    parts = [call for call in expand(trace(small)).calls if isinstance(call.layer, tfc.Compressed)]
    assert [call.slots["cell.recurrent_kernel"] for call in parts] == [
        "forward_layer.cell.recurrent_kernel",
        "backward_layer.cell.recurrent_kernel",
    ]
    for part, slot in zip(parts, ("forward_layer", "backward_layer"), strict=True):
        whole, _ = tfc.deployed(small.get_layer("both"), f"{slot}.cell.recurrent_kernel")
        np.testing.assert_array_equal(tfc.deployed(part.layer, "cell.recurrent_kernel")[0], whole)
        assert (whole == 0).mean() > 0.3
