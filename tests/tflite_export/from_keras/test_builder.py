"""The growing graph."""

import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed
from tfcompress.compressed import Compressed
from tfcompress.structure.trace import Call, Value
from tflite_export.from_keras.builder import Builder, static
from tflite_export.from_keras.grids import Unsupported


def call_of(layer: layers.Layer, **slots: str) -> Call:
    layer.build((None, 3))
    return Call(layer, "path", (), {}, (Value("path", (None, 2), "float32"),), slots)


def test_values_become_batches_of_one() -> None:
    assert static((None, 4, 3)) == (1, 4, 3)
    assert static((8, 3)) == (1, 3)
    with pytest.raises(Unsupported, match=r"has unknown sizes; give keras.Input its full shape, batch excluded"):
        static((None, None, 3))


def test_a_weight_is_named_after_its_slot_in_the_model_and_its_request_is_noted() -> None:
    builder = Builder()
    call = call_of(Compressed(layers.Dense(2), {"kernel": Fixed(0.5, bits=4)}), kernel="pointwise_kernel")
    t = builder.weight(call, "kernel", 0, lambda k: k.T)
    assert (builder.draft.tensors[t].name, builder.shape(t)) == ("path/pointwise_kernel", (2, 3))
    assert builder.requested == {"path": {"pointwise_kernel": {"bits": 4}}}


def test_a_plain_weight_has_no_grid_and_no_request() -> None:
    builder = Builder()
    t = builder.weight(call_of(layers.Dense(2)), "kernel", 0, lambda k: k.T)
    assert builder.draft.tensors[t].quantization is None
    assert builder.requested == {}


@pytest.mark.parametrize("use_bias", [True, False])
def test_there_is_always_a_bias(use_bias: bool) -> None:
    builder = Builder()
    t = builder.bias(call_of(layers.Dense(2, use_bias=use_bias)), 2)
    np.testing.assert_array_equal(builder.draft.tensors[t].data, np.zeros(2, np.float32))


def test_an_op_makes_one_tensor() -> None:
    builder = Builder()
    x = builder.input(Value("x", (None, 3), "float32"))
    y = builder.emit("RELU", (x,), "y", (1, 3))
    graph = builder.draft.graph()
    assert [op.outputs for op in graph.ops] == [(y,)]
    assert graph.inputs == (x,)
