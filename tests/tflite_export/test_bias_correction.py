"""The bias takes up what rounding changes in the mean."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from passes.helpers import Chart, grid, of

import tfcompress as tfc
from tflite_export.bias_correction import correct_bias, enough
from tflite_export.convert import convert, integer_graph
from tflite_export.flatbuffer import write
from tflite_export.interpreter import Interpreter
from tflite_export.ir import Graph, Quantization

X = np.random.default_rng(0).uniform(0.5, 1.5, (64, 3)).astype(np.float32)


def dense(weight: list[list[float]], fused: str = "NONE") -> Graph:
    """A dense layer of step 1 on a fine input grid."""
    chart = Chart()
    steps = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
    w = chart.constant(np.array(weight, np.float32), steps)
    b = chart.constant(np.zeros(len(weight), np.float32))
    x = chart.input(3, grid=grid(1 / 64))
    return chart.graph(
        chart.op("FULLY_CONNECTED", x, w, b, shape=(1, len(weight)), grid=grid(1 / 16), fused_activation_function=fused)
    )


@pytest.mark.parametrize("fused", ["NONE", "RELU"])
def test_a_weight_that_is_rounded_down_raises_the_bias_by_what_it_loses(fused: str) -> None:
    graph = dense([[2.25, 0.0, 0.0], [2.0, -1.25, 0.0]], fused)
    bias = of(correct_bias(graph, [[X]]), 0, 2).data
    np.testing.assert_allclose(bias, [0.25 * X[:, 0].mean(), -0.25 * X[:, 1].mean()], atol=0.01)


def test_exact_weights_on_fine_grids_need_no_correction() -> None:
    bias = of(correct_bias(dense([[2.0, 0.0, 0.0]]), [[X]]), 0, 2).data
    np.testing.assert_allclose(bias, 0, atol=1 / 64)


def test_later_layers_see_the_corrected_earlier_ones() -> None:
    """The second layer's weights are exact: with the first corrected, nothing is left to do."""
    chart = Chart()
    steps = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))

    def layer(x: int, weight: float) -> int:
        w = chart.constant(np.array([[weight]], np.float32), steps)
        return chart.op("FULLY_CONNECTED", x, w, chart.constant(np.zeros(1, np.float32)), grid=grid(1 / 32))

    y = layer(layer(chart.input(1, grid=grid(1 / 32)), 1.375), 1.0)
    corrected = correct_bias(chart.graph(y), [[X[:, :1]]])
    assert of(corrected, 0, 2).data[0] > 0.3
    assert abs(of(corrected, 1, 2).data[0]) < 1 / 32


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = x = keras.Input((8, 8, 3))
    for filters in (8, 12):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(x)))
        x = layers.ReLU()(layers.DepthwiseConv2D(3)(x))
    return keras.Model(image, layers.Dense(6)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("weight_bits", [4, 3])
def test_the_mean_error_of_narrow_weights_shrinks(weight_bits: int) -> None:
    model, x = network(), np.random.default_rng(0).uniform(0, 1, (96, 8, 8, 3)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    floats = {"inference_input_type": "float32", "inference_output_type": "float32", "weight_bits": weight_bits}
    errors = []
    for bias_correction in (False, True):
        blob = convert(model, x[:48], bias_correction=bias_correction, **floats)
        delivered = Interpreter(model_content=blob).predict(x)
        errors.append(np.abs((delivered - expected)[48:].mean(0)).max())
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("data", [True, False])
def test_batch_norms_tell_the_means_as_well(data: bool) -> None:
    """With data for the ranges only, or, where every feature map has a trained grid, without any."""
    model, x = normal_network(), np.random.default_rng(0).uniform(0, 1, (96, 8, 8, 3)).astype(np.float32)
    if not data:
        model = tfc.compress(model, {".*": {"output": tfc.LSQ(8)}})
        tfc.calibrate(model, x)
    expected = model.predict(x, verbose=0)
    errors, ops = [], []
    for bias_correction in (False, "analytic"):
        floats = {"inference_input_type": "float32", "inference_output_type": "float32", "weight_bits": 4}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            graph = integer_graph(model, x if data else None, bias_correction=bias_correction, **floats)
        named = [str(w.message) for w in caught]
        assert not named if data or not bias_correction else "leaves ['re_lu_output'] as they are" in named[0]
        errors.append(np.abs((Interpreter(model_content=write(graph)).predict(x) - expected).mean(0)).max())
        ops.append([op.kind for op in graph.ops])
    assert errors[1] < errors[0] / 2
    assert ops[0] == ops[1]


def normal_network() -> keras.Model:
    """A network in which every batch norm has the statistics of what it gets."""
    keras.utils.set_random_seed(1)
    image = x = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.0)(x))
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.ReLU(6)(layers.BatchNormalization(momentum=0.0)(x))
    x = layers.ReLU()(
        layers.BatchNormalization(momentum=0.0)(layers.Conv2D(8, 3, groups=2)(layers.ZeroPadding2D(1)(x)))
    )
    model = keras.Model(image, layers.Dense(6)(layers.Flatten()(layers.AveragePooling2D(2)(x))))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.endswith(("gamma", "beta")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    for _ in range(3):
        model(rng.uniform(0, 1, (96, 8, 8, 3)).astype(np.float32), training=True)
    return model


def test_where_no_batch_norm_tells_a_mean_the_layers_are_named() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, activation="relu", name="a"), layers.Dense(3, name="b")]
    )
    x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    with pytest.warns(UserWarning, match=r"leaves \['b'\] as they are: .* Use bias_correction='empirical'"):
        convert(model, x, bias_correction="analytic", weight_bits=4)
    small = tfc.compress(model, {".*": {"output": tfc.LSQ(8)}})
    tfc.calibrate(small, x)
    with pytest.raises(ValueError, match="knows the mean input of none of the layers"):
        convert(small, bias_correction="analytic", weight_bits=4)
    with pytest.raises(ValueError, match="`bias_correction` must be one of .*'analytic'.*Received: 'exact'"):
        convert(model, x, bias_correction="exact")


def test_data_that_can_be_read_once_serves_both_purposes() -> None:
    model, x = network(), np.random.default_rng(0).uniform(0, 1, (40, 8, 8, 3)).astype(np.float32)
    once = convert(model, (x[k : k + 8] for k in range(0, 40, 8)), bias_correction=True)
    assert once == convert(model, [x[k : k + 8] for k in range(0, 40, 8)], bias_correction=True)


def test_it_needs_data_even_where_calibration_does_not() -> None:
    with pytest.raises(ValueError, match="`bias_correction` needs a `representative_dataset`"):
        convert(network(), bias_correction=True)


def test_no_more_samples_are_kept_than_are_worth_it() -> None:
    graph, read = dense([[1.0, 0.0, 0.0]]), []

    def data() -> object:
        for _ in range(50):
            read.append(1)
            yield [X]

    kept = enough(graph, data())
    assert sum(len(batch[0]) for batch in kept) == 256
    assert len(read) == 4
