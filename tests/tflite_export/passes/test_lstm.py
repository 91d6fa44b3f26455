"""Grids inside of LSTMs, and the op in integers."""

import keras
import numpy as np
import pytest
from keras import layers

import tflite_export as tfe
from tfcompress import LSQ, calibrate, compress
from tflite_export.convert import integer_graph
from tflite_export.ir import Graph, Op
from tflite_export.passes import lstm


def model(units: int = 3, steps: int = 5, whole: bool = False, **arguments: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((steps, 4), name="x")
    return keras.Model(inputs, layers.LSTM(units, return_sequences=whole, name="l", **arguments)(inputs))


def data(steps: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(64, steps, 4)).astype(np.float32)


def only(graph: Graph) -> Op:
    (op,) = lstm.recurrent(graph)
    return op


@pytest.mark.parametrize(
    ("reach", "exponent"), [(0.0, -15), (0.99, -15), (1.0, -14), (3.9, -13), (28, -10), (64.0, -9), (1000.0, -9)]
)
def test_the_cell_gets_the_smallest_power_of_two_that_holds_it(reach: float, exponent: int) -> None:
    grid = lstm.cell_grid(-reach, reach / 2)
    assert grid.scale[0] == 2.0**exponent and grid.bits == 16
    assert reach <= 32767 * grid.scale[0] or exponent == -9


def test_measured_grids_are_finer_than_bounds() -> None:
    graph = integer_graph(model(), data())
    op = only(graph)
    hidden, cell = (graph.tensors[op.inputs[place]] for place in (lstm.HIDDEN, lstm.CELL))
    assert (hidden.dtype, cell.dtype) == ("int8", "int16")
    assert hidden.quantization.scale[0] < 1 / 128 and cell.quantization.scale[0] < 2.0**-12
    assert hidden.quantization == graph.tensors[op.outputs[0]].quantization


def test_without_data_the_bounds_hold_whatever_comes_in() -> None:
    plain = model()
    small = compress(plain, {"x": {"output": LSQ(bits=8)}})
    calibrate(small, data())
    graph = integer_graph(small)
    op = only(graph)
    hidden, cell = (graph.tensors[op.inputs[place]].quantization for place in (lstm.HIDDEN, lstm.CELL))
    assert (hidden.scale[0], hidden.zero_point[0], cell.scale[0]) == (1 / 128, 0, 2.0**-12)


def test_a_trained_grid_behind_a_whole_sequence_is_that_of_the_state() -> None:
    small = compress(model(whole=True), {".*": {"output": LSQ(bits=8)}})
    calibrate(small, data())
    graph = integer_graph(small)
    grid = graph.tensors[only(graph).inputs[lstm.HIDDEN]].quantization
    assert grid.scale[0] == np.ravel(small.get_layer("l_output").step)[0] and len(graph.ops) == 1


@pytest.mark.parametrize(("whole", "bits"), [(False, 8), (True, 4)], ids=["last step", "4 bits"])
def test_the_state_keeps_8_bits_of_its_own_where_the_output_is_less(whole: bool, bits: int) -> None:
    small = compress(model(whole=whole), {"x": {"output": LSQ(bits=8)}, "l": {"output": LSQ(bits=bits)}})
    calibrate(small, data())
    graph = integer_graph(small, data())
    assert [op.kind for op in graph.ops][-1] in ("QUANTIZE", "MAXIMUM")
    assert graph.tensors[only(graph).outputs[0]].quantization.bits == 8
    tfe.verify(tfe.convert(small, data()), data()[:4]).raise_if_different()


def test_weights_have_a_step_for_each_gate_and_biases_that_of_the_products() -> None:
    plain = model()
    graph = integer_graph(plain, data())
    op, cell = only(graph), plain.get_layer("l").cell
    step = graph.tensors[op.inputs[0]].quantization.scale[0]
    for k in range(4):
        weight, bias = graph.tensors[op.inputs[1 + k]], graph.tensors[op.inputs[12 + k]]
        values = cell.kernel.numpy()[:, 3 * k : 3 * k + 3].T
        np.testing.assert_allclose(weight.quantization.scale, [np.abs(values).max() / 127], rtol=1e-6)
        np.testing.assert_array_equal(weight.data, np.rint(values / weight.quantization.scale[0]))
        np.testing.assert_allclose(bias.quantization.scale, step * weight.quantization.scale, rtol=1e-6)
        np.testing.assert_allclose(
            bias.data * bias.quantization.scale,
            cell.bias.numpy()[3 * k : 3 * k + 3],
            atol=float(bias.quantization.scale[0]),
        )


def test_a_huge_bias_makes_the_step_of_its_weight_coarser() -> None:
    plain = model()
    bias = plain.get_layer("l").cell.bias
    bias.assign(bias + 1e9)
    graph = integer_graph(plain, data())
    assert all(np.abs(graph.tensors[only(graph).inputs[p]].data.astype(float)).max() <= 2.0**30 for p in lstm.BIASES)


def test_five_intermediates_name_the_grids_inside() -> None:
    graph = integer_graph(model(), data())
    op = only(graph)
    inside = [graph.tensors[t] for t in op.intermediates]
    assert [t.dtype for t in inside] == ["int16"] * 4 + ["int8"]
    assert inside[-1].quantization == graph.tensors[op.outputs[0]].quantization


def test_maps_of_16_bits_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="must find an int16 kernel in LiteRT.*'l/sequence'"):
        integer_graph(model(), data(), activation_type="int16")
