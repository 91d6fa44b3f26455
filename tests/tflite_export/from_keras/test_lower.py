"""The walk over a model: nested models, shared layers, and one error for everything that cannot be exported."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed, assert_lowers, kinds, model_of, scramble
from tfcompress import LSQ, MinMax, calibrate, compress, deployed, strip
from tfcompress.compressed import Compressed
from tfcompress.version import __version__
from tflite_export.convert import convert, convert_float
from tflite_export.flatbuffer import read
from tflite_export.from_keras import LOWERINGS, Builder, Unsupported, lower
from tflite_export.interpreter import Interpreter


class MyDense(layers.Dense):
    """Might compute anything."""


def test_nested_models_are_opened() -> None:
    block = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="d"), layers.ReLU(name="r")], name="block")
    graph = assert_lowers(model_of(block, block, shape=(4,)))
    names = [graph.tensors[op.outputs[0]].name for op in graph.ops]
    assert names == ["block/d", "block/r", "block/d#1", "block/r#1"]


def test_a_shared_layer_is_lowered_at_each_use() -> None:
    x, dense = keras.Input((4,)), layers.Dense(4, name="d")
    model = keras.Model(x, layers.Add()([dense(x), dense(layers.ReLU()(x))]))
    scramble(model)
    assert kinds(assert_lowers(model)) == ["FULLY_CONNECTED", "RELU", "FULLY_CONNECTED", "ADD"]


def test_a_model_may_have_several_outputs_of_one_name() -> None:
    x, dense = keras.Input((4,)), layers.Dense(4, name="d")
    first = dense(x)
    graph = lower(keras.Model(x, [first, dense(first)]))
    assert list(graph.signature[2]) == ["d", "d_1"]


def test_a_sequential_model_names_its_output_after_the_last_layer() -> None:
    model = keras.Sequential([keras.Input((4,), name="x"), layers.Dense(3), layers.ReLU(name="last")])
    scramble(model)
    assert assert_lowers(model).signature == ("serving_default", {"x": 0}, {"last": 4})


def test_one_error_names_every_offending_layer() -> None:
    stack = [
        layers.GroupNormalization(1, name="unit"),
        layers.Conv2D(2, 1, name="fine"),
        layers.ReLU(threshold=3.0, name="odd"),
        MyDense(3, name="mine"),
        layers.Dense(2, activation="softplus", name="last"),
    ]
    with pytest.raises(ValueError) as error:
        lower(model_of(*stack, shape=(2, 2, 2)))
    message = str(error.value)
    assert "unit (GroupNormalization): no lowering for this type" in message
    assert "odd (ReLU): threshold=3.0" in message
    assert "mine (MyDense): no lowering for this type, a subclass of Dense" in message
    assert "last (Activation): activation 'softplus'" in message
    assert "fine" not in message
    assert all(kind.__name__ in message for kind in LOWERINGS)


def test_dropout_that_is_on_at_inference_is_refused() -> None:
    x = keras.Input((4,))
    with pytest.raises(ValueError, match="called with training=True, which makes inference random"):
        lower(keras.Model(x, layers.Dropout(0.5)(x, training=True)))


def test_an_operation_that_is_no_layer_is_refused() -> None:
    x = keras.Input((4,))
    with pytest.raises(ValueError, match=r"floor \(Floor\): no lowering for this type"):
        lower(keras.Model(x, keras.ops.floor(x)))


def test_a_lambda_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"code \(Lambda\): holds Python code .* write it with keras.ops"):
        lower(model_of(layers.Lambda(lambda x: x * 2, name="code"), shape=(4,)))


def test_several_inputs_and_outputs_keep_their_names_in_the_signature() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    total, most = layers.Add(name="total")([a, b]), layers.Maximum(name="most")([a, b])
    model = keras.Model({"b": b, "a": a}, {"most": most, "total": total})
    key, arguments, results = lower(model).signature
    graph = lower(model)
    assert key == "serving_default"
    assert {name: graph.tensors[t].name for name, t in arguments.items()} == {"a": "a", "b": "b"}
    assert {name: graph.tensors[t].name for name, t in results.items()} == {"total": "total", "most": "most"}


def test_a_subclassed_model_is_refused() -> None:
    class Mine(keras.Model):
        def call(self, x: object) -> object:
            return x

    with pytest.raises(ValueError, match="must be a Sequential or Functional model"):
        lower(Mine())


def test_the_metadata_says_what_was_asked_for() -> None:
    model = model_of(
        Compressed(layers.Dense(2, name="d"), {"kernel": Fixed(0.1, bits=4)}), Fixed(0.5, bits=6), shape=(3,)
    )
    model.layers[-1].name = "d_output"
    assert json.loads(lower(model).metadata["tfcompress"]) == {
        "version": 1,
        "tfcompress": __version__,
        "layers": {"d": {"kernel": {"bits": 4}}, model.layers[-1].name: {"output": {"bits": 6}}},
    }


class Clipped(layers.Layer):
    """relu(x W), a layer of a user's own."""

    def build(self, shape) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")

    def call(self, x):
        return keras.ops.relu(x @ self.kernel)


def clipped(builder: Builder, call, x: int) -> int:
    name = call.outputs[0].name
    kernel = builder.weight(call, "kernel", channel_axis=0, layout=lambda w: w.T)
    bias = builder.constant(f"{name}/bias", np.zeros(3, np.float32))
    options = {"fused_activation_function": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
    y = builder.emit("FULLY_CONNECTED", (x, kernel, bias), f"{name}/linear", (1, 3), **options)
    return builder.emit("RELU", (y,), name, (1, 3))


def test_a_layer_of_the_users_own_is_lowered_by_the_users_function() -> None:
    model = keras.Sequential([keras.Input((4,)), Clipped(name="mine"), layers.Dense(2, name="head")])
    small = compress(model, {"mine": {"kernel": LSQ(bits=4), "output": MinMax(bits=8)}})
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    calibrate(small, x)
    blob = convert(small, x, lowerings={Clipped: clipped})
    graph = read(blob)
    assert kinds(graph) == ["FULLY_CONNECTED", "FULLY_CONNECTED"]  # the RELU was fused as ours are
    (codes,) = [t.data for t in graph.tensors if t.name == "mine/kernel"]
    wanted, grid = deployed(small.get_layer("mine"), "kernel")
    np.testing.assert_array_equal(codes, grid.encode(wanted).T)
    assert np.abs(codes).max() <= 7
    floats = Interpreter(model_content=convert_float(small, lowerings={Clipped: clipped})).predict(x)
    np.testing.assert_allclose(floats, strip(small)(x), atol=1e-6)


def test_without_a_lowering_the_error_says_how_to_hand_one_over() -> None:
    with pytest.raises(ValueError, match=r"mine \(Clipped\): no lowering") as error:
        lower(keras.Sequential([keras.Input((4,)), Clipped(name="mine")]))
    assert "lowerings={MyLayer: function}" in str(error.value)


def test_a_function_of_the_users_own_comes_before_the_table() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="d")])
    assert kinds(lower(model, {layers.Dense: clipped})) == ["FULLY_CONNECTED", "RELU"]


def test_its_objections_are_listed_with_the_others() -> None:
    def refuse(builder: Builder, call, x: int) -> int:
        raise Unsupported("too wild; supported is tame")

    model = keras.Sequential([keras.Input((4,)), Clipped(name="mine"), MyDense(3, name="other")])
    with pytest.raises(ValueError, match="mine .*too wild") as error:
        lower(model, {Clipped: refuse})
    assert "other (MyDense)" in str(error.value)


@pytest.mark.parametrize("lowerings", [{"Clipped": clipped}, {Clipped: "clipped"}, {int: clipped}])
def test_lowerings_that_are_no_such_thing_are_refused(lowerings) -> None:
    with pytest.raises(ValueError, match="`lowerings` must be a dict of layer class"):
        lower(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), lowerings)
