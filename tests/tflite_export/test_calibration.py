"""Ranges are measured where no transform fixed a grid, in every form that users hand in data."""

import tracemalloc
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tflite_export.calibration import MeanSquaredError, calibrate, roots, snapped
from tflite_export.datasets import batches
from tflite_export.from_keras import lower
from tflite_export.ir import Graph, Quantization
from tflite_export.passes import FLOAT
from tflite_export.passes.place_grids import limits
from tflite_export.passes.softmax_grid import SMALLEST_STEP

X = np.random.default_rng(0).normal(0, 1, (70, 6)).astype(np.float32)


def graph_of(*stack: layers.Layer, inputs: int = 1) -> Graph:
    """The float graph behind a chain of layers, on one input or the sum of several."""
    keras.utils.set_random_seed(0)
    entries = [keras.Input((6,), name=f"in{k}") for k in range(inputs)]
    x = entries[0] if inputs == 1 else layers.Add(name="sum")(entries)
    for layer in stack:
        x = layer(x)
    return FLOAT(lower(keras.Model(entries, x)))


def grid(scale: float, zero_point: int = 0, low: int | None = None) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64), low=low)


def names(graph: Graph, tensors: list[int]) -> list[str]:
    return [graph.tensors[t].name for t in tensors]


def test_only_what_computes_is_measured() -> None:
    graph = graph_of(layers.Dense(4, name="d"), layers.ReLU(name="r"), layers.Reshape((2, 2)), layers.Softmax(name="s"))
    assert names(graph, roots(graph)) == ["in0", "r"]


def test_a_concatenation_is_measured_for_what_it_joins() -> None:
    x = keras.Input((6,), name="x")
    parts = [layers.Reshape((3, 1))(layers.Dense(3, name=name)(x)) for name in "ab"]
    graph = FLOAT(lower(keras.Model(x, layers.Concatenate(name="c")([*parts, layers.Reshape((3, 2))(x)]))))
    assert names(graph, roots(graph)) == ["x", "c"]


def test_ranges_are_those_of_the_data() -> None:
    graph = calibrate(graph_of(layers.ReLU(name="r")), X)
    x, y = (graph.tensors[t].quantization for t in (graph.inputs[0], graph.outputs[0]))
    step = float(x.scale[0])
    np.testing.assert_allclose(limits(x), (X.min(), X.max()), atol=step)
    np.testing.assert_allclose(limits(y), (0.0, X.max()), rtol=1e-6)
    assert y.zero_point[0] == -128


def test_trained_tensors_are_rounded_on_the_way() -> None:
    graph = graph_of(layers.ReLU(name="r"), layers.Dense(1, kernel_initializer="ones", name="d"))
    tensors = list(graph.tensors)
    (relu,) = [t for t, tensor in enumerate(tensors) if tensor.name == "r"]
    tensors[relu] = tensors[relu].__class__(**{**vars(tensors[relu]), "quantization": grid(0.5, -128, low=-128)})
    graph = Graph(**{**vars(graph), "tensors": tuple(tensors)})
    measured = calibrate(graph, np.full((1, 6), 0.3, np.float32))
    assert limits(measured.tensors[measured.outputs[0]].quantization) == (0.0, pytest.approx(6 * 0.5))


def test_a_graph_without_open_ends_needs_no_data() -> None:
    graph = calibrate(graph_of(layers.ReLU()), X)
    assert calibrate(graph, None) is graph


def test_rounding_saturates_at_both_ends() -> None:
    x = np.array([-9.0, -0.3, 0.26, 99.0], np.float32)
    np.testing.assert_array_equal(snapped(x, grid(0.5, 120, low=112)), [-4.0, -0.5, 0.5, 3.5])


def test_int16_maps_are_symmetric() -> None:
    graph = calibrate(graph_of(layers.ReLU(name="r")), X, bits=16)
    x, y = (graph.tensors[t].quantization for t in (graph.inputs[0], graph.outputs[0]))
    assert (x.bits, x.zero_point[0], y.zero_point[0]) == (16, 0, 0)
    np.testing.assert_allclose(x.scale, np.abs(X).max() / 32767, rtol=1e-6)
    np.testing.assert_array_equal(snapped(np.float32([9e9, -9e9]), x), np.float32([32767, -32768]) * x.scale)


def test_steps_are_powers_of_two_if_asked() -> None:
    graph = calibrate(graph_of(layers.ReLU(name="r"), layers.Dense(3)), X, power_of_two=True)
    assert all(np.frexp(t.quantization.scale[0])[0] == 0.5 for t in graph.tensors if t.quantization and t.data is None)


def test_memory_does_not_grow_with_the_data() -> None:
    graph, peaks = graph_of(layers.Dense(4), layers.ReLU()), []
    for count in (5, 100):
        tracemalloc.start()
        calibrate(graph, (X[:32] + 1e-3 * k for k in range(count)), MeanSquaredError())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20_000


def test_several_inputs_come_in_the_models_order_or_by_name() -> None:
    graph = graph_of(inputs=2)
    by_name = list(batches(graph, [{"in1": X[1:2], "in0": X[:1]}]))
    by_order = list(batches(graph, [[X[:1], X[1:2]]]))
    np.testing.assert_array_equal(by_name, by_order)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([], "must yield at least one sample. Received: none"),
        (X[:0], "must yield at least one sample. Received: none"),
        (
            [(X[:2], np.zeros(2))],
            r"inputs in0 \(None, 6\).*no labels. Received: item 0 with shapes \[\(2, 6\), \(2,\)\]",
        ),
        ([X[:2], X[0]], r"Received: item 1 with shapes \[\(6,\)\]"),
        ([{"other": X[:2]}], r"inputs in0 \(None, 6\).*Received: item 0 with shapes \[\]"),
        ([np.full((1, 6), np.nan)], "The values of 'in0' must be finite on the representative data"),
    ],
)
def test_data_that_does_not_fit_is_refused(dataset: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(graph_of(layers.ReLU()), dataset)


def test_missing_data_is_an_error_that_names_the_layers_and_both_ways_out() -> None:
    graph = graph_of(layers.Dense(4, name="first"), layers.ReLU(name="relu"), layers.Dense(2, name="last"))
    with pytest.raises(ValueError) as error:
        calibrate(graph, None)
    for part in ("'in0', 'relu', 'last'", "tfcompress.calibrate(model, x)", "representative_dataset=x", '"output"'):
        assert part in str(error.value)


def test_missing_data_inside_a_layer_is_told_apart() -> None:
    graph = graph_of(layers.Dense(4, activation="softmax", name="head"))
    with pytest.raises(ValueError, match=r"'head/linear' lies inside a layer: measure it, or split the layer"):
        calibrate(graph, None)


def test_many_names_are_counted() -> None:
    graph = graph_of(*[layers.Dense(2) for _ in range(30)])
    with pytest.raises(ValueError, match="and 11 more"):
        calibrate(graph, None)


def test_the_step_in_front_of_a_softmax_never_makes_litert_abort() -> None:
    graph = calibrate(graph_of(layers.Softmax()), np.full((1, 6), 1e-20, np.float32))
    assert graph.tensors[graph.inputs[0]].quantization.scale[0] > SMALLEST_STEP
