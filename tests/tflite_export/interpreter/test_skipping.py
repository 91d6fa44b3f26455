"""A run that leaves out what gates switch off delivers the same bits."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.layers import ChannelGate
from tflite_export.convert import integer_graph
from tflite_export.interpreter import Executor
from tflite_export.interpreter.skipping import SkippingExecutor
from tflite_export.ir import Graph

X = np.random.default_rng(0).normal(size=(24, 8, 8, 3)).astype(np.float32)


def block(x: Any, width: int, k: int, *between: layers.Layer) -> Any:
    y = layers.ReLU()(layers.Conv2D(width, 3, padding="same", name=f"conv_{k}")(x))
    for layer in between:
        y = layer(y)
    return ChannelGate(units=4, normalize=False, open_share=0.4, seed=k, name=f"gate_{k}")([y, x])


def network() -> keras.Model:
    """Gates behind plain convolutions, a pooling, a depthwise convolution; in front of a sum and a Flatten."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="between")(block(inputs, 8, 1))
    x = layers.Add()([x, layers.Conv2D(6, 1)(inputs)])
    y = block(x, 6, 2, layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise"))
    z = block(layers.Add()([x, y]), 10, 3, layers.MaxPooling2D())
    model = keras.Model(inputs, layers.Dense(4, name="head")(layers.Flatten()(z)))
    for variable in model.variables:
        if variable.path.endswith("logits/kernel"):
            variable.assign(40 * variable.numpy())
    return model


@pytest.fixture(scope="module", params=["int8", "int16"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return integer_graph(network(), X, activation_type=request.param)


def test_the_outputs_are_the_same_bits_and_the_work_is_less(graph: Graph) -> None:
    tensor = graph.tensors[graph.inputs[0]]
    codes = np.clip(np.rint(X / tensor.quantization.scale) + tensor.quantization.zero_point, *_ends(tensor.dtype))
    codes = codes.astype(tensor.dtype)
    wanted = Executor(graph).run([codes])[graph.outputs[0]]
    skipping = SkippingExecutor(graph)
    shares: dict[str, list[float]] = {}
    for n, x in enumerate(codes):
        values, parts = skipping.run([x[None]])
        np.testing.assert_array_equal(values[graph.outputs[0]][0], wanted[n])
        for k, part in parts.items():
            y = graph.tensors[graph.ops[k].outputs[0]]
            shares.setdefault(y.name, []).append(len(part.filters) / y.shape[-1])
    rare = [name for name, found in shares.items() if np.mean(found) < 0.9]
    assert len(rare) == 4 and len(skipping.gates) == 4, shares  # both ops in front of the second gate
    assert any(np.std(found) > 0 for found in shares.values()), "gates depend on the input"


def _ends(dtype: str) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def test_all_gates_closed_is_a_legal_input() -> None:
    model = network()
    for k in (1, 2, 3):
        model.get_layer(f"gate_{k}").logits.bias.assign(-1e3 * np.ones_like(model.get_layer(f"gate_{k}").logits.bias))
    closed = integer_graph(model, X)
    x = np.zeros((1, 8, 8, 3), np.int8)
    values, parts = SkippingExecutor(closed).run([x])
    np.testing.assert_array_equal(values[closed.outputs[0]], Executor(closed).run([x])[closed.outputs[0]])
    assert sum(part.macs == 0 for part in parts.values()) == 4


def test_state_and_larger_batches_are_refused() -> None:
    graph = integer_graph(keras.Sequential([keras.Input((5, 3)), layers.LSTM(2)]), X[:, 0, :5])
    with pytest.raises(ValueError, match="the model must have batch 1 and keep no state"):
        SkippingExecutor(graph)
