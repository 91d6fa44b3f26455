"""GRU and SimpleRNN layers, step by step."""

import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed, assert_lowers, kinds, model_of
from tfcompress.compressed import Compressed
from tflite_export.from_keras import lower


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("whole", [False, True], ids=["last", "whole"])
@pytest.mark.parametrize("layer", [layers.SimpleRNN, layers.GRU])
def test_the_steps_compute_what_keras_computes(layer: type, whole: bool, backwards: bool) -> None:
    model = model_of(layer(3, return_sequences=whole, go_backwards=backwards, name="r"), shape=(4, 5))
    graph = assert_lowers(model)
    assert kinds(graph).count("TANH") == 4 and ("PACK" in kinds(graph)) == whole
    assert graph.tensors[graph.outputs[0]].name == "r"


@pytest.mark.parametrize("arguments", [{"reset_after": False}, {"use_bias": False}], ids=str)
def test_a_gru_resets_before_or_behind_the_product_with_and_without_bias(arguments: dict[str, bool]) -> None:
    assert_lowers(model_of(layers.GRU(3, **arguments), shape=(4, 5)))


def test_a_bidirectional_gru_and_time_distributed_layers_are_opened() -> None:
    dense = layers.TimeDistributed(layers.Dense(3, activation="relu"), name="each")
    graph = assert_lowers(model_of(dense, layers.Bidirectional(layers.GRU(2), name="both"), shape=(3, 4)))
    assert "each/layer.kernel" in {tensor.name for tensor in graph.tensors}


def test_all_steps_share_their_weights_and_the_grid_of_the_state() -> None:
    graph = lower(model_of(layers.GRU(3, name="g"), shape=(4, 5)))
    weights = [op.inputs[1] for op in graph.ops if op.kind == "FULLY_CONNECTED"]
    assert len(weights) == 3 + 1 + 4 * 3 and len(set(weights)) == 3 + 1 + 3
    for name in ("first_state", "step_0/h", "step_1/h", "step_2/candidate"):
        (grid,) = [t.quantization for t in graph.tensors if t.name == f"g/{name}"]
        assert (grid.scale[0], grid.zero_point[0]) == (1 / 128, 0)


def test_gates_keep_trained_grids_with_a_step_for_each_column() -> None:
    steps = (2.0 ** -np.arange(1, 10))[None]
    model = model_of(Compressed(layers.GRU(3, name="g"), {"cell.kernel": Fixed(steps, bits=8)}), shape=(4, 5))
    found = {t.name: t.quantization for t in assert_lowers(model).tensors if t.name.startswith("g/cell.kernel/")}
    np.testing.assert_array_equal(found["g/cell.kernel/r"].scale, steps[0, 3:6])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.GRU(2, activation="relu", name="g"), r"g \(GRU\): activation='relu'"),
        (layers.SimpleRNN(2, activation="relu", name="r"), r"r \(SimpleRNN\): activation='relu'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(layer: layers.Layer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lower(model_of(layer, shape=(3, 4)))
