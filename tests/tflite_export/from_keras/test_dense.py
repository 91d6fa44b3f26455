"""Dense layers on vectors and on more."""

import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed, assert_lowers, kinds, model_of, only
from tfcompress.compressed import Compressed
from tflite_export.from_keras import lower


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 6)], ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
def test_the_float_graph_computes_what_keras_computes(shape: tuple[int, ...], activation: str | None) -> None:
    graph = assert_lowers(model_of(layers.Dense(4, activation=activation), shape=shape))
    assert only(graph, "FULLY_CONNECTED").options["keep_num_dims"] == (len(shape) > 1)


def test_a_softmax_is_split_off_and_the_weight_keeps_its_name_and_grid() -> None:
    dense = Compressed(layers.Dense(4, activation="softmax", name="d"), {"kernel": Fixed(0.125, bits=4)})
    graph = assert_lowers(model_of(dense, shape=(6,)))
    assert kinds(graph) == ["FULLY_CONNECTED", "SOFTMAX"]
    weight = graph.tensors[graph.ops[0].inputs[1]]
    assert (weight.name, weight.quantization.bits) == ("d/kernel", 4)
    assert [graph.tensors[op.outputs[0]].name for op in graph.ops] == ["d/linear", "d"]


def test_a_dense_layer_quantised_by_keras_is_refused() -> None:
    layer = layers.Dense(3, name="q")
    model = model_of(layer, shape=(4,))
    layer.quantize("int8")
    with pytest.raises(ValueError, match=r"q \(Dense\): quantised by Keras itself \(int8\); use tfcompress.compress"):
        lower(model)


def test_the_weight_is_transposed() -> None:
    model = model_of(layers.Dense(2), shape=(3,))
    graph = lower(model)
    kernel = np.asarray(model.layers[-1].kernel)
    np.testing.assert_array_equal(graph.tensors[only(graph, "FULLY_CONNECTED").inputs[1]].data, kernel.T)
