"""LSTM layers as one op each, alone and inside a Bidirectional."""

import keras
import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed, assert_lowers, inputs_of, kinds, model_of, only, outputs_of
from tfcompress.compressed import Compressed
from tflite_export.from_keras import lower
from tflite_export.interpreter import Executor

KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("whole", [False, True], ids=["last", "whole"])
def test_an_lstm_computes_what_keras_computes(whole: bool, backwards: bool) -> None:
    layer = layers.LSTM(5, return_sequences=whole, go_backwards=backwards, dropout=0.5, recurrent_dropout=0.1)
    graph = assert_lowers(model_of(layer, shape=(6, 3)))
    expected = ["REVERSE_V2"] * backwards + [KIND] + ["STRIDED_SLICE"] * (not whole)
    assert kinds(graph) == expected


def test_an_lstm_without_bias_has_zeros() -> None:
    graph = assert_lowers(model_of(layers.LSTM(2, use_bias=False, unit_forget_bias=False), shape=(3, 4)))
    for bias in only(graph, KIND).inputs[12:16]:
        np.testing.assert_array_equal(graph.tensors[bias].data, [0, 0])


def test_packed_columns_become_a_matrix_for_each_gate() -> None:
    model = model_of(layers.LSTM(2, name="l"), shape=(3, 4))
    graph, cell = lower(model), model.get_layer("l").cell
    op = only(graph, KIND)
    for k, gate in enumerate("ifco"):
        columns = slice(2 * k, 2 * k + 2)
        weight, recurrent, bias = (graph.tensors[op.inputs[first + k]] for first in (1, 5, 12))
        assert (weight.name, recurrent.name) == (f"l/cell.kernel/{gate}", f"l/cell.recurrent_kernel/{gate}")
        np.testing.assert_array_equal(weight.data, cell.kernel.numpy()[:, columns].T)
        np.testing.assert_array_equal(recurrent.data, cell.recurrent_kernel.numpy()[:, columns].T)
        np.testing.assert_array_equal(bias.data, cell.bias.numpy()[columns])


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("whole", [False, True], ids=["last", "whole"])
def test_a_bidirectional_computes_what_keras_computes(whole: bool, mode: str) -> None:
    inner = layers.LSTM(3, return_sequences=whole)
    graph = assert_lowers(model_of(layers.Bidirectional(inner, merge_mode=mode, name="both"), shape=(5, 4)))
    assert kinds(graph).count(KIND) == 2 and kinds(graph).count("REVERSE_V2") == 1 + whole
    names = {tensor.name for tensor in graph.tensors}
    assert {"both/forward_layer.cell.kernel/i", "both/backward_layer.cell.recurrent_kernel/o"} <= names
    assert len(names) == len(graph.tensors)


def test_both_directions_can_be_delivered_apart() -> None:
    inputs = keras.Input((5, 4))
    directions = layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode=None)(inputs)
    assert_lowers(keras.Model(inputs, directions))


def test_a_trained_grid_of_one_step_arrives_at_every_gate() -> None:
    layer = Compressed(layers.LSTM(2, name="l"), {"cell.kernel": Fixed(0.125, bits=4)})
    graph = assert_lowers(model_of(layer, shape=(3, 4)))
    grids = [graph.tensors[t].quantization for t in only(graph, KIND).inputs[1:9]]
    assert [(g.scale.tolist(), g.bits) for g in grids[:4]] == [([0.125], 4)] * 4 and grids[4:] == [None] * 4


def test_a_step_for_each_gate_is_possible_and_one_for_each_column_is_refused() -> None:
    steps = np.repeat([0.25, 0.125, 0.5, 0.25], 2)[None]
    layer = Compressed(layers.LSTM(2, name="l"), {"cell.kernel": Fixed(steps, bits=4)})
    graph = assert_lowers(model_of(layer, shape=(3, 4)))
    found = [graph.tensors[t].quantization.scale.tolist() for t in only(graph, KIND).inputs[1:5]]
    assert found == [[0.25], [0.125], [0.5], [0.25]]
    layer = Compressed(layers.LSTM(2, name="l"), {"cell.kernel": Fixed(2.0 ** -np.arange(1, 9)[None], bits=8)})
    with pytest.raises(ValueError, match=r"varies inside a gate.*one for each gate"):
        lower(model_of(layer, shape=(3, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "relu"}, "activation='relu'; TFLite has 'tanh' only"),
        ({"recurrent_activation": "hard_sigmoid"}, "recurrent_activation='hard_sigmoid'; TFLite has 'sigmoid' only"),
    ],
)
def test_other_activations_are_refused_by_name(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lower(model_of(layers.LSTM(2, name="l", **arguments), shape=(3, 4)))


def test_states_and_masks_are_refused_by_name() -> None:
    inputs = keras.Input((3, 4))
    with pytest.raises(ValueError, match="return_state=True; supported is False"):
        lower(keras.Model(inputs, layers.LSTM(2, return_state=True)(inputs)[0]))
    with pytest.raises(ValueError, match="Masking"):
        lower(keras.Model(inputs, layers.LSTM(2)(layers.Masking()(inputs))))
    with pytest.raises(ValueError, match="`initial_state`"):
        lower(keras.Model(inputs, layers.LSTM(4)(inputs, initial_state=[inputs[:, 0], inputs[:, 1]])))


def test_a_stateful_layer_goes_on_where_it_stopped() -> None:
    inputs = keras.Input(batch_shape=(1, 3, 4))
    model = keras.Model(inputs, layers.LSTM(2, stateful=True)(inputs))
    graph = lower(model)
    executor, state = Executor(graph), Executor(graph).initial_state()
    for x in np.split(inputs_of(model, 4)[0], 4):
        ours = executor.run([x], state=state)[graph.outputs[0]]
        np.testing.assert_allclose(ours, model(x), rtol=1e-4, atol=1e-6)


def test_every_sample_of_a_batch_starts_afresh() -> None:
    graph = lower(model_of(layers.LSTM(2), shape=(3, 4)))
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    (together,) = outputs_of(graph, [x])
    np.testing.assert_allclose(together, np.concatenate([outputs_of(graph, [x[k : k + 1]])[0] for k in range(5)]), 1e-5)
