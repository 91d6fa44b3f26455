import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from keras import layers

from tflite_export.convert import convert
from tflite_export.flatbuffer import write
from tflite_export.interpreter.executor import Executor
from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.verification import VerificationError
from tflite_export.verify import verify

module = importlib.import_module("tflite_export.verify")  # the package has a function of that name


def test_our_integers_are_the_reference_kernels_integers(network, images):
    result = verify(write(network), images)
    assert result.ok
    assert [row.name for row in result.rows] == ["conv", "flat", "softmax"]
    assert result.total("reference") == (0, 3 * 10 * 100, 0)
    assert result.rows[2].peers.keys() == {"reference", "XNNPACK"}
    assert "0 of 3,000 values differ from LiteRT's reference kernels" in str(result).splitlines()[-1]


def test_codes_are_taken_as_they_are(network):
    codes = np.random.default_rng(0).integers(-128, 128, (3, 5, 5, 3)).astype(np.int8)
    assert verify(write(network), codes).total("reference") == (0, 900, 0)


def test_a_wrong_kernel_is_found_where_it_is_wrong(network, images, monkeypatch):
    class Wrong(Executor):
        def run(self, inputs, observe=None, keep=False):
            def spoil(index, array):
                return array + np.int8(1) if index == 5 else array

            return super().run(inputs, spoil, keep)

    monkeypatch.setattr(module, "Executor", Wrong)
    result = verify(write(network), images)
    assert not result.ok
    assert result.first_diverging.name == "flat"
    assert result.rows[0].peers["reference"].differing == 0
    assert result.rows[1].peers["reference"].max_lsb >= 1


def test_a_peer_that_ends_its_process_is_a_note_and_no_error():
    grids = [Quantization(np.float32([s]), np.array([z])) for s, z in ((2.0**-40, 0), (1 / 256, -128))]
    tensors = tuple(Tensor(name, (1, 8), "int8", grid) for name, grid in zip("xy", grids))
    blob = write(Graph(tensors, (Op("RESHAPE", (0,), (1,), {"new_shape": (1, 8)}),), (0,), (1,)))
    softmax = write(Graph(tensors, (Op("SOFTMAX", (0,), (1,), {"beta": 1.0}),), (0,), (1,)))

    class Ours(Executor):
        def __init__(self, graph):
            super().__init__(module.read(blob))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Executor", Ours)
        result = verify(softmax, np.zeros((2, 8), np.int8))
    assert not result.ok
    assert "SIGABRT" in result.failures["reference"]
    assert "XNNPACK differs in" in str(result)


def test_float_tensors_may_differ_in_the_order_of_their_sums():
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((10, 300), np.float32), np.zeros(10, np.float32)
    tensors = (
        Tensor("x", (1, 300), "float32"),
        Tensor("w", kernel.shape, "float32", None, kernel),
        Tensor("b", bias.shape, "float32", None, bias),
        Tensor("y", (1, 10), "float32"),
    )
    blob = write(Graph(tensors, (Op("FULLY_CONNECTED", (0, 1, 2), (3,)),), (0,), (3,)))
    assert verify(blob, rng.standard_normal((5, 300))).ok


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 5, 5, 4), np.float32), r"'image' takes arrays of shape \(N, 5, 5, 3\). Received: \(2, 5, 5, 4\)"),
        (np.zeros((0, 5, 5, 3), np.float32), "at least one sample"),
        (np.zeros((2, 5, 5, 3), np.uint8), "takes int8 or floats. Received: uint8"),
        ([np.zeros((2, 5, 5, 3), np.float32)] * 2, "has 1 inputs. Received: 2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(network, x, message):
    with pytest.raises(ValueError, match=message):
        verify(write(network), x)


def test_distances_count_steps():
    np.testing.assert_array_equal(module._lsb(np.int8([-128, 3]), np.int8([127, 3])), [255, 0])
    nan = np.float32("nan")
    same = module._lsb(np.float32([1, 1.000001, nan, 2, nan]), np.float32([1, 1, nan, 1, 1]))
    np.testing.assert_array_equal(same[:3], [0, 0, 0])
    assert module._lsb(np.float32([1.0]), np.float32([1.5]), step=0.25).tolist() == [2]
    assert module._lsb(np.float32([1.0]), np.float32([1.00001]), step=0.25).tolist() == [0]
    assert same[3] == pytest.approx(1e5, rel=1e-3)
    assert same[4] == 10**9
    assert module._lsb(np.zeros(2, np.int8), np.zeros(3, np.int8)).min() > 255


@pytest.fixture(scope="module")
def model():
    """A network with a branch, a fold and a flattening; its weights are rounded in the export."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
    x = y = layers.ReLU(name="act")(layers.BatchNormalization(name="norm")(x))
    x = layers.Add(name="sum")([layers.SeparableConv2D(4, 3, padding="same", name="separable")(x), y])
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(name="pool")(x))
    return keras.Model(image, layers.Dense(5, activation="softmax", name="shares")(x))


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).standard_normal((20, 6, 6, 2), np.float32)


@pytest.fixture(scope="module")
def blob(model, samples):
    return convert(model, samples)


def test_keras_is_compared_layer_by_layer(model, blob, samples):
    result = verify(blob, samples, model)
    assert result.ok, str(result)
    compared = [row.name for row in result.rows if "Keras" in row.peers]
    assert compared == ["act", "separable/depthwise", "separable", "sum", "pool", "flat", "shares/linear", "shares"]
    assert result.total("Keras")[2] <= 2


def test_the_layer_that_differs_from_keras_is_named(model, blob, samples):
    layer = model.get_layer("separable")
    weights = layer.get_weights()
    layer.set_weights([weights[0], weights[1] + 10, weights[2]])
    result = verify(blob, samples, model)
    layer.set_weights(weights)
    assert not result.ok
    assert result.first_diverging.name == "separable"
    assert result.total("reference")[0] == 0
    with pytest.raises(VerificationError, match="first to differ is 'separable'"):
        result.raise_if_different()


def test_a_model_that_the_file_was_not_made_of_is_noted(blob, samples):
    image = keras.Input((6, 6, 2))
    stranger = keras.Model(image, layers.Flatten()(image))
    result = verify(blob, samples, stranger)
    assert not result.ok
    assert "no tensor of the file comes from a layer of model" in result.failures["Keras"]
    assert result.total("reference")[0] == 0


def test_borders_in_float_are_exact_too(model, samples):
    blob = convert(model, samples, inference_input_type="float32", inference_output_type="float32")
    result = verify(blob, samples, model)
    assert result.ok, str(result)
    assert {"QUANTIZE", "DEQUANTIZE"} <= {row.kind for row in result.rows}
