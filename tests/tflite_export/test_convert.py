"""The whole way from a Keras model to a file."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from tfcompress.compressed import Compressed
from tfcompress.grid import Grid
from tfcompress.transform import Transform
from tflite_export.convert import convert, convert_float, integer_graph
from tflite_export.flatbuffer import read, write
from tflite_export.interpreter import Interpreter
from tflite_export.ir import Graph, Tensor
from tflite_export.litert import LiteRT


class Fixed(Transform):
    """Rounds to a grid that the test chooses."""

    def __init__(self, step: float, bits: int = 8, signed: bool = True) -> None:
        super().__init__()
        self.fixed = Grid(np.float32(step), bits, signed=signed)

    def call(self, x: object, training: bool | None = None) -> object:
        ops, grid = keras.ops, self.fixed
        return ops.clip(ops.round(x / grid.scale), grid.low, grid.high) * grid.scale

    def grid(self, x: object) -> Grid:
        return self.fixed


def small_network() -> keras.Model:
    """Every kind of fold: rescaling, batch norm, activation, border, sum, concatenation, softmax."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((10, 10, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU(6, name="relu")(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, strides=2, name="depthwise")(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    z = layers.AveragePooling2D(2)(x)
    x = layers.Concatenate()([layers.Add(name="add")([y, z]), layers.SeparableConv2D(4, 3, padding="same")(z)])
    x = layers.GlobalAveragePooling2D()(layers.Dropout(0.2)(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="head")(x))


def trained_network() -> keras.Model:
    """Every feature map has a grid."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), name="features")
    x = Fixed(0.05)(inputs)
    x = Compressed(layers.Dense(8, name="hidden"), {"kernel": Fixed(0.1, bits=4)})(x)
    x = Fixed(0.2, bits=4, signed=False)(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(inputs, Fixed(0.05)(Compressed(layers.Dense(3, name="last"), {"kernel": Fixed(0.02)})(x)))


IMAGES = np.random.default_rng(0).uniform(0, 255, (40, 10, 10, 3)).astype(np.float32)


def tensor(graph: Graph, name: str) -> Tensor:
    return next(t for t in graph.tensors if t.name == name)


def test_a_network_without_transforms_is_measured_and_stays_close_to_keras() -> None:
    model = small_network()
    blob = convert(model, IMAGES, inference_input_type="float32", inference_output_type="float32")
    difference = Interpreter(model_content=blob).predict(IMAGES) - model.predict(IMAGES, verbose=0)
    assert np.abs(difference).max() <= 2 / 256


def test_folds_leave_one_op_per_tensor_on_the_chip() -> None:
    kinds = [op.kind for op in integer_graph(small_network(), IMAGES).ops]
    assert kinds == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "ADD", "DEPTHWISE_CONV_2D", "CONV_2D",
        "CONCATENATION", "MEAN", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip


def test_litert_computes_the_same_integers() -> None:
    model = small_network()
    graph = integer_graph(model, IMAGES)
    codes = np.random.default_rng(1).integers(-128, 128, (1, 10, 10, 3)).astype(np.int8)
    with LiteRT("reference") as runtime:
        theirs = runtime.run(write(graph), [codes])
    ours = Interpreter(model_content=write(graph)).predict(codes)
    np.testing.assert_array_equal(ours, theirs[graph.outputs[0]])


def test_a_trained_network_needs_no_data_and_keeps_every_code() -> None:
    model = trained_network()
    graph = integer_graph(model)
    for layer in model.layers:
        if isinstance(layer, Compressed):
            expected = np.abs(layer.transforms["kernel"].fixed.encode(np.asarray(layer.layer.kernel))).T
            np.testing.assert_array_equal(np.abs(tensor(graph, f"{layer.name}/kernel").data), expected)
    assert tensor(graph, "hidden/kernel").quantization.bits == 4


def test_a_trained_network_delivers_what_keras_delivers() -> None:
    model, x = trained_network(), np.random.default_rng(0).normal(0, 1, (200, 6)).astype(np.float32)
    blob = convert(model, inference_input_type="float32", inference_output_type="float32")
    steps = np.rint((Interpreter(model_content=blob).predict(x) - model.predict(x, verbose=0)) / 0.05)
    assert np.abs(steps).max() <= 1
    assert np.mean(steps != 0) < 0.02


def test_the_signature_has_the_names_of_keras() -> None:
    graph = read(convert(small_network(), IMAGES))
    key, arguments, results = graph.signature
    assert (key, list(arguments), list(results)) == ("serving_default", ["image"], ["head"])


def test_the_metadata_lists_widths() -> None:
    graph = read(convert(trained_network()))
    described = json.loads(graph.metadata["tfcompress"])
    assert described["version"] == 1
    assert described["layers"]["hidden"] == {"kernel": {"bits": 4}}
    assert {"bits": 4, "low": 112} in described["tensors"].values()


@pytest.mark.parametrize("inputs", ["int8", "float32"])
@pytest.mark.parametrize("outputs", ["int8", "float32"])
def test_borders_have_the_types_that_were_asked_for(inputs: str, outputs: str) -> None:
    graph = read(convert(trained_network(), inference_input_type=inputs, inference_output_type=outputs))
    assert graph.tensors[graph.inputs[0]].dtype == inputs
    assert graph.tensors[graph.outputs[0]].dtype == outputs


def test_other_border_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`inference_input_type` must be one of .*Received: 'uint8'"):
        convert(trained_network(), inference_input_type="uint8")


def test_a_network_without_grids_and_data_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no grid for the outputs of 'image', 'relu', .*'head/linear'"):
        convert(small_network())


def test_the_same_model_gives_the_same_bytes_and_is_left_alone() -> None:
    model = small_network()
    before = [w.copy() for w in model.get_weights()]
    assert convert(model, IMAGES) == convert(model, IMAGES)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("build", [small_network, trained_network])
def test_a_float_file_computes_without_rounding(build: object) -> None:
    model = build()
    x = np.random.default_rng(0).normal(0, 1, (4, *model.input_shape[1:])).astype(np.float32)
    free = keras.models.clone_model(
        model, clone_function=lambda layer: layers.Identity() if type(layer) is Fixed else layer
    )
    blob = convert_float(model)
    assert all(t.quantization is None and t.dtype in ("float32", "int32") for t in read(blob).tensors)
    np.testing.assert_allclose(Interpreter(model_content=blob).predict(x), free(x), rtol=1e-4, atol=1e-5)


def test_two_inputs_and_two_outputs() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    total = layers.Add(name="total")([a, b])
    model = keras.Model([a, b], [total, layers.ReLU(name="positive")(total)])
    x = np.random.default_rng(0).normal(0, 1, (2, 50, 4)).astype(np.float32)
    graph = integer_graph(model, lambda: ([x[0, k : k + 1], x[1, k : k + 1]] for k in range(50)))
    assert [graph.tensors[t].name for t in (*graph.inputs, *graph.outputs)] == ["a", "b", "total", "positive"]


def test_mobilenet_v2_converts_without_edits_and_stays_close_to_keras() -> None:
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), alpha=0.35)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, 96, 96, 3)).astype(np.float32)
    revive(model, x)
    graph = integer_graph(model, x, inference_input_type="float32", inference_output_type="float32")
    kinds = {op.kind for op in graph.ops}
    assert kinds == {
        "QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX", "DEQUANTIZE",
    }  # fmt: skip
    ours = Interpreter(model_content=write(graph)).predict(x)
    theirs = model.predict(x, verbose=0)
    # 52 layers of 8 bits: the logits are within 5 % of their range, probabilities accordingly
    logits = np.log(theirs) - np.log(theirs).mean(-1, keepdims=True)
    assert np.abs(ours - theirs).max() <= 0.05 * np.ptp(logits) * theirs.max() + 1 / 256
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98


def revive(model: keras.Model, x: np.ndarray) -> None:
    """Gives an untrained network live batch norms and logits that differ."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.3
    for _ in range(3):
        model(x, training=True)
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 8)
