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


def test_other_layers_see_every_step_as_a_sample() -> None:
    conv = layers.TimeDistributed(layers.Conv1D(2, 2))
    assert opened(conv, (5, 4, 3)) == ["FoldTime", "Conv1D", "UnfoldTime"]
    over_steps = layers.TimeDistributed(layers.LayerNormalization(axis=1))
    assert opened(over_steps, (5, 4, 3)) == ["FoldTime", "LayerNormalization", "UnfoldTime"]
    twice = layers.TimeDistributed(layers.TimeDistributed(layers.Flatten()))
    assert opened(twice, (2, 3, 4, 2)) == ["FoldTime", "FoldTime", "Flatten", "UnfoldTime", "UnfoldTime"]


def test_a_model_over_time_is_its_layers() -> None:
    inner = keras.Sequential([keras.Input((4, 3)), layers.Conv1D(2, 2), layers.GlobalMaxPooling1D()])
    found = opened(layers.TimeDistributed(inner), (5, 4, 3))
    assert found == ["FoldTime", "Conv1D", "GlobalMaxPooling1D", "UnfoldTime"]


@pytest.mark.parametrize("arguments", [{}, {"return_sequences": True, "go_backwards": True}], ids=str)
def test_cells_become_the_layers_that_run_them(arguments: dict[str, bool]) -> None:
    cells = [layers.LSTMCell(3), layers.GRUCell(2, reset_after=False), layers.SimpleRNNCell(4, use_bias=False)]
    assert opened(layers.RNN(cells[0], **arguments)) == ["LSTM"]
    assert opened(layers.RNN(cells, **arguments)) == ["LSTM", "GRU", "SimpleRNN"]


def test_stacked_cells_run_in_both_directions() -> None:
    cells = [layers.GRUCell(3), layers.GRUCell(2)]
    both = layers.Bidirectional(layers.RNN(cells, return_sequences=True))
    assert opened(both) == ["GRU", "GRU", "GRU", "GRU", "ReverseTime", "Concatenate"]


def test_slots_inside_of_wrappers_inside_of_wrappers_keep_the_names_of_the_model() -> None:
    inputs = keras.Input((5, 4))
    cells = layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)])
    model = keras.Model(inputs, layers.Bidirectional(cells, name="both")(inputs))
    small = tfc.compress(model, {"both": {"backward_layer.cell.cells.1.kernel": tfc.LSQ(bits=4)}})
    (part,) = [call for call in expand(trace(small)).calls if isinstance(call.layer, tfc.Compressed)]
    assert part.slots["cell.kernel"] == "backward_layer.cell.cells.1.kernel"
    whole, _ = tfc.deployed(small.get_layer("both"), part.slots["cell.kernel"])
    np.testing.assert_array_equal(tfc.deployed(part.layer, "cell.kernel")[0], whole)


def test_transforms_inside_a_model_over_time_come_along() -> None:
    inner = keras.Sequential([keras.Input((4, 3)), layers.Conv1D(2, 2, name="conv")])
    inputs = keras.Input((5, 4, 3))
    model = keras.Model(inputs, layers.TimeDistributed(inner, name="each")(inputs))
    small = tfc.compress(model, {"each": {"kernel": tfc.LSQ(bits=4)}})
    (part,) = [call for call in expand(trace(small)).calls if isinstance(call.layer, tfc.Compressed)]
    whole, _ = tfc.deployed(small.get_layer("each"), "layer.conv.kernel")
    np.testing.assert_array_equal(tfc.deployed(part.layer, "kernel")[0], whole)
    assert part.path == "each/conv"


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
