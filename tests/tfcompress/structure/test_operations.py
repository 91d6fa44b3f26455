"""Operations on tensors are read as layers."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.structure.groups import groups
from tfcompress.structure.operations import as_layers, is_operation
from tfcompress.structure.replay import replay
from tfcompress.structure.trace import trace

CONSTANT = np.array([0.5, 2.0, -1.0], np.float32)

READ = {
    "x + y": (lambda x: x + x, layers.Add),
    "x - y": (lambda x: x - x, layers.Subtract),
    "x * y": (lambda x: x * x, layers.Multiply),
    "x + 3": (lambda x: x + 3, layers.Rescaling),
    "3 - x": (lambda x: 3 - x, layers.Rescaling),
    "x - c": (lambda x: x - CONSTANT, layers.Rescaling),
    "c * x": (lambda x: ops.multiply(CONSTANT, x), layers.Rescaling),
    "x / 4": (lambda x: x / 4.0, layers.Rescaling),
    "-x": (lambda x: -x, layers.Rescaling),
    "square": (ops.square, layers.Multiply),
    "maximum": (lambda x: ops.maximum(x, -x), layers.Maximum),
    "minimum": (lambda x: ops.minimum(x, -x), layers.Minimum),
    "relu": (ops.relu, layers.Activation),
    "sigmoid": (ops.sigmoid, layers.Activation),
    "silu": (ops.silu, layers.Activation),
    "gelu": (lambda x: ops.gelu(x, approximate=False), layers.Activation),
    "leaky_relu": (ops.leaky_relu, layers.LeakyReLU),
    "softmax": (lambda x: ops.softmax(x, axis=1), layers.Softmax),
    "clip": (lambda x: ops.clip(x, 0, 2), layers.ReLU),
    "concatenate": (lambda x: ops.concatenate([x, x], axis=-1), layers.Concatenate),
    "reshape": (lambda x: ops.reshape(x, (-1, 12)), layers.Reshape),
    "expand_dims": (lambda x: ops.expand_dims(x, 2), layers.Reshape),
    "transpose": (lambda x: ops.transpose(x, (0, 2, 1)), layers.Permute),
}


def model_of(function: Callable[[Any], Any]) -> keras.Model:
    x = keras.Input((4, 3), name="x")
    return keras.Model(x, function(x))


@pytest.mark.parametrize(("function", "kind"), READ.values(), ids=READ)
def test_the_layer_computes_what_the_operation_does(function: Callable[[Any], Any], kind: type) -> None:
    model = model_of(function)
    steps = as_layers(trace(model))
    assert type(steps.calls[-1].layer) is kind
    assert steps.calls[-1].layer.name == steps.calls[-1].path
    x = np.random.default_rng(0).normal(0, 2, (5, 4, 3)).astype(np.float32)
    delivered = replay(steps, {steps.inputs[0]: x})(steps.outputs[0])
    np.testing.assert_allclose(delivered, model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        ops.floor,
        lambda x: 1.0 / x,
        lambda x: x + np.ones((4, 1), np.float32),
        lambda x: x + x[:, 0],
        lambda x: ops.clip(x, -1, 1),
        lambda x: ops.transpose(x, (1, 0, 2)),
    ],
)
def test_what_no_layer_computes_stays(function: Callable[[Any], Any]) -> None:
    assert is_operation(as_layers(trace(model_of(function))).calls[-1].layer)


def test_the_model_keeps_its_operations_and_values_their_identity() -> None:
    model = model_of(lambda x: ops.relu(x + 1))
    before = trace(model)
    after = as_layers(before)
    assert [type(call.layer).__name__ for call in before.calls] == ["InputLayer", "Add", "Relu"]
    assert [call.outputs for call in after.calls] == [call.outputs for call in before.calls]


def test_operations_join_the_group_in_front_of_them() -> None:
    model = model_of(lambda x: ops.relu(layers.Dense(3, name="d")(x) * 0.5))
    members = [[type(c.layer).__name__ for c in group.members] for group in groups(as_layers(trace(model)))]
    assert members == [["InputLayer"], ["Dense", "Rescaling", "Activation"]]
