import keras
import pytest
from keras import layers

from tfcompress.structure.trace import Value, trace


def branching():
    inputs = keras.Input((4,), name="x")
    dense = layers.Dense(4, name="dense")
    first = dense(inputs)
    return keras.Model(inputs, layers.Add(name="add")([first, dense(layers.ReLU(name="relu")(first))]))


def test_calls_come_in_execution_order_and_a_second_use_is_numbered():
    found = trace(branching())
    assert [call.path for call in found.calls] == ["x", "dense", "relu", "dense#1", "add"]
    assert found.calls[1].layer is found.calls[3].layer
    assert [value.name for value in found.inputs] == ["x"] and [value.name for value in found.outputs] == ["add"]


def test_values_link_calls_to_those_that_use_them():
    found = trace(branching())
    _, dense, relu, again, add = found.calls
    assert add.inputs == [*dense.outputs, *again.outputs]
    assert found.producer[add.inputs[0]] is dense
    assert found.consumers[dense.outputs[0]] == [relu, add]
    assert add.outputs[0] not in found.consumers
    assert (dense.outputs[0].shape, dense.outputs[0].dtype) == ((None, 4), "float32")


def test_arguments_are_kept_with_values_in_place_of_tensors():
    inputs = keras.Input((3, 4), name="x")
    made, *state = layers.LSTM(2, return_state=True, name="lstm")(inputs)
    outputs = layers.GRU(2, name="gru")(inputs, initial_state=state[0])
    lstm, gru = trace(keras.Model(inputs, [made, outputs])).calls[1:]
    assert [value.name for value in lstm.outputs] == ["lstm:0", "lstm:1", "lstm:2"]
    assert isinstance(gru.args[0], Value) and gru.kwargs["initial_state"] is lstm.outputs[1]


def test_nested_models_are_opened_or_not():
    tower = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense")], name="tower")
    block = keras.Sequential([keras.Input((4,)), tower], name="block")
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, tower(block(inputs)))
    assert [call.path for call in trace(model).calls] == ["x", "block/tower/dense", "tower/dense"]
    assert [call.path for call in trace(model, nested=False).calls] == ["x", "block", "tower"]
    again = keras.Model(inputs, tower(tower(inputs)))
    assert [call.path for call in trace(again).calls] == ["x", "tower/dense", "tower/dense#1"]


def test_only_what_leads_to_the_outputs_is_listed():
    inputs = keras.Input((4,), name="x")
    kept = layers.Dense(4, name="kept")(inputs)
    layers.Dense(4, name="unused")(kept)
    assert [call.path for call in trace(keras.Model(inputs, kept)).calls] == ["x", "kept"]


def test_operations_on_tensors_are_calls_too():
    inputs = keras.Input((4,), name="x")
    found = trace(keras.Model(inputs, keras.ops.relu(inputs + 1.0)))
    assert len(found.calls) == 3 and found.calls[1].args[1] == 1.0


def test_models_without_a_graph_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"Model 'own' must be .* Received: Own. Rebuild it with keras.Input"):
        trace(Own(name="own"))
    with pytest.raises(ValueError, match="Model 'fresh' must be built"):
        trace(keras.Sequential([layers.Dense(3)], name="fresh"))
