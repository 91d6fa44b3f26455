"""Layers over time whose steps are samples, and cells of recurrent layers."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from from_keras.helpers import assert_lowers, inputs_of, kinds, model_of
from tflite_export.convert import integer_graph
from tflite_export.from_keras import lower

EACH = layers.TimeDistributed


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv1D(3, 2, padding="causal"), (4, 5, 2)),
        (layers.SeparableConv1D(3, 2), (4, 5, 2)),
        (layers.Conv2D(3, 2, strides=2, padding="same", activation="gelu"), (4, 5, 5, 2)),
        (layers.Conv2DTranspose(3, 2, strides=2), (3, 4, 4, 2)),
        (layers.AveragePooling1D(2), (4, 5, 2)),
        (layers.MaxPooling2D(2), (4, 5, 5, 2)),
        (layers.GlobalMaxPooling1D(), (4, 5, 2)),
        (layers.GlobalAveragePooling2D(keepdims=True), (4, 3, 3, 2)),
        (layers.Flatten(), (4, 3, 3, 2)),
        (layers.Reshape((2, 3)), (4, 6)),
        (layers.Permute((2, 1)), (4, 5, 2)),
        (layers.UpSampling2D(), (3, 4, 4, 2)),
        (layers.ZeroPadding2D(1), (3, 4, 4, 2)),
        (layers.Cropping1D(1), (3, 4, 2)),
        (layers.RepeatVector(3), (4, 5)),
        (layers.Softmax(axis=1), (4, 5, 2)),
        (layers.UnitNormalization(), (4, 5, 2)),
        (EACH(layers.Conv1D(3, 2)), (2, 3, 4, 2)),
        (keras.Sequential([keras.Input((5, 2)), layers.Conv1D(3, 2), layers.BatchNormalization()]), (4, 5, 2)),
    ],
    ids=lambda x: x.name if isinstance(x, layers.Layer) else "",
)
def test_every_step_is_a_sample(layer: layers.Layer, shape: tuple[int, ...]) -> None:
    graph = assert_lowers(model_of(EACH(layer), shape=shape))
    steps = int(np.prod(shape[: 2 if isinstance(layer, EACH) else 1]))
    assert any(tensor.shape[:1] == (steps,) for tensor in graph.tensors if tensor.data is None)


def recognizer() -> keras.Model:
    """Pictures in a row, each through a small network, and what it sees through cells one above the other."""
    eye = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(), layers.Flatten()])
    cells = layers.RNN([layers.LSTMCell(5), layers.GRUCell(3)], name="cells")
    return model_of(EACH(eye, name="eye"), cells, layers.Dense(3, name="head"), shape=(4, 6, 6, 2))


def test_a_network_over_time_arrives_with_its_trained_integers() -> None:
    rules = {"eye|cells|head": {"kernel": tfc.LSQ(bits=4)}}
    small = tfc.compress(recognizer(), rules)
    (x,) = inputs_of(small, 24)
    blob = tfe.convert(small, x)
    receipt = tfe.receipt(blob, keras_model=small)
    assert receipt.ok and len(receipt.requests) == 1 + 2 * (4 + 3) + 1
    tfe.verify(blob, x[:3], keras_model=small).raise_if_different()
    run = tfe.Interpreter(model_content=blob)
    np.testing.assert_array_equal(run.predict(x[:4]), np.concatenate([run.predict(x[k : k + 1]) for k in range(4)]))


def test_int16_maps_and_the_npu_take_steps_as_samples() -> None:
    model = model_of(EACH(layers.Conv2D(4, 3, activation="relu")), EACH(layers.MaxPooling2D(2)), shape=(3, 8, 8, 2))
    (x,) = inputs_of(model, 8)
    blob = tfe.convert(model, x, activation_type="int16")
    tfe.verify(blob, x[:2], keras_model=model).raise_if_different()
    assert [row["op"] for row in tfe.npu.estimate(blob, machine="balanced-16x16", data=x[:2]).rows][1] == "CONV_2D"
    assert all(row["verdict"] == "PASS" for row in tfe.npu.check(blob, machine="ethos-u55-128").rows)


def test_what_meets_between_two_layers_over_time_vanishes() -> None:
    model = model_of(EACH(layers.Conv2D(4, 3)), EACH(layers.ReLU()), EACH(layers.Flatten()), shape=(3, 4, 4, 2))
    (x,) = inputs_of(model, 8)
    graph = integer_graph(model, x)
    assert kinds(graph) == ["RESHAPE", "CONV_2D", "RESHAPE"]


@pytest.mark.parametrize("layer", [layers.LSTM(2), layers.GRU(2), layers.RNN(layers.SimpleRNNCell(2))])
def test_several_sequences_of_one_sample_are_refused_by_name(layer: layers.Layer) -> None:
    with pytest.raises(ValueError, match=r"t \(\w+\): 3 sequences of one sample, in a TimeDistributed"):
        lower(model_of(EACH(layer, name="t"), shape=(3, 4, 2)))


def test_unknown_lengths_states_and_cells_are_refused_by_name() -> None:
    def refused(inputs: Any, outputs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            lower(keras.Model(inputs, outputs))

    unknown, x = keras.Input((None, 4, 2)), keras.Input((3, 4))
    each = EACH(layers.Conv1D(2, 2), name="t")(unknown)
    refused(unknown, each, r"t \(TimeDistributed\):.*unknown length; supported is one")
    state = layers.RNN(layers.GRUCell(2), return_state=True, name="r")(x)[0]
    refused(x, state, r"r \(RNN\): return_state=True, or cells of other kinds than LSTMCell")
    nested = layers.RNN(layers.StackedRNNCells([layers.StackedRNNCells([layers.GRUCell(2)])]), name="r")(x)
    refused(x, nested, r"r \(RNN\): return_state=True, or cells of other kinds")
    held = keras.Input(batch_shape=(1, 3, 4))
    stateful = layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)], stateful=True, name="r")(held)
    refused(held, stateful, r"r \(GRU\): stateful=True; TFLite keeps the state of an LSTM only")
