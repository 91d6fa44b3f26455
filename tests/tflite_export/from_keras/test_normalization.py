"""Batch norm and rescaling: one factor and one offset per channel."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfcompress as tfc
import tflite_export as tfe
from from_keras.helpers import assert_lowers, kinds, model_of
from tfcompress.layers import InformationBottleneck, PowerOfTwoBatchNormalization
from tflite_export.flatbuffer import read
from tflite_export.from_keras import lower


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_batch_norm_uses_its_moving_statistics(scale: bool, center: bool) -> None:
    graph = assert_lowers(model_of(layers.BatchNormalization(scale=scale, center=center), shape=(3, 3, 4)))
    assert kinds(graph) == ["MUL", "ADD"]


@pytest.mark.parametrize("shape", [(4,), (3, 4)], ids=str)
def test_batch_norm_works_on_vectors(shape: tuple[int, ...]) -> None:
    assert_lowers(model_of(layers.BatchNormalization(), shape=shape))


def test_batch_norm_over_another_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n \(BatchNormalization\): axis=1; supported is the last axis, -1"):
        lower(model_of(layers.BatchNormalization(axis=1, name="n"), shape=(3, 3, 4)))


@pytest.mark.parametrize("shape", [(4,), (3, 3, 4)], ids=str)
def test_a_batch_norm_of_powers_of_two_multiplies_by_what_it_stores(shape: tuple[int, ...]) -> None:
    layer = PowerOfTwoBatchNormalization(name="n")
    model = model_of(layer, shape=shape)
    layer.exponent.assign([0, -3, 2, 1])
    layer.sign.assign([1, -1, 1, -1])
    graph = assert_lowers(model)
    assert kinds(graph) == ["MUL", "ADD"]
    np.testing.assert_array_equal(graph.tensors[graph.ops[0].inputs[1]].data, np.float32([1, -0.125, 4, -2]))
    with pytest.raises(ValueError, match=r"n \(PowerOfTwoBatchNormalization\): axis=1; supported is the last axis, -1"):
        lower(model_of(PowerOfTwoBatchNormalization(axis=1, name="n"), shape=(3, 3, 4)))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Rescaling(1 / 255), ["MUL"]),
        (layers.Rescaling(1.0, offset=-1), ["ADD"]),
        (layers.Rescaling(1 / 127.5, offset=-1), ["MUL", "ADD"]),
        (layers.Rescaling([1.0, 2.0, 0.5], offset=[0.1, 0.0, -0.2]), ["MUL", "ADD"]),
        (layers.Rescaling(1.0), ["MUL"]),
    ],
)
def test_rescaling_does_only_what_is_needed(layer: layers.Rescaling, expected: list[str]) -> None:
    assert kinds(assert_lowers(model_of(layer, shape=(2, 2, 3)))) == expected


def test_a_rescaling_that_is_not_per_channel_is_refused() -> None:
    layer = layers.Rescaling([[1.0], [2.0]], name="r")
    with pytest.raises(ValueError, match=r"r \(Rescaling\): scale=.* supported are numbers and lists of 3"):
        lower(model_of(layer, shape=(2, 2, 3)))


@pytest.mark.parametrize("invert", [False, True])
def test_normalization_uses_what_adapt_found(invert: bool) -> None:
    layer = layers.Normalization(invert=invert)
    layer.adapt(np.random.default_rng(0).normal(3, [1, 2, 5], (50, 2, 2, 3)))
    x = keras.Input((2, 2, 3))
    assert kinds(assert_lowers(keras.Model(x, layer(x)))) == ["MUL", "ADD"]


def test_normalization_may_have_given_statistics() -> None:
    assert_lowers(model_of(layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 1.0, 0.5]), shape=(2, 2, 3)))
    assert_lowers(model_of(layers.Normalization(axis=None, mean=2.0, variance=4.0), shape=(2, 2, 3)))


@pytest.mark.parametrize("shape", [(6,), (3, 6), (4, 3, 6)], ids=str)
@pytest.mark.parametrize("arguments", [{}, {"scale": False, "center": False}, {"epsilon": 0.1}], ids=str)
def test_layer_norm_is_made_of_ops_that_the_format_has(shape: tuple[int, ...], arguments: dict) -> None:
    graph = assert_lowers(model_of(layers.LayerNormalization(name="n", **arguments), shape=shape))
    assert kinds(graph)[:6] == ["FULLY_CONNECTED", "SUB", "MUL", "FULLY_CONNECTED", "RSQRT", "MUL"]
    names = [graph.tensors[op.outputs[0]].name for op in graph.ops[:6]]
    assert names == [f"n/{part}" for part in ("mean", "centered", "square", "variance", "inverse", "normal")]


def test_layer_norm_over_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n \(LayerNormalization\): axis or rms_scaling; supported is the last axis"):
        lower(model_of(layers.LayerNormalization(axis=(1, 2), name="n"), shape=(3, 4)))


def test_a_gate_multiplies_by_its_factor() -> None:
    gate = InformationBottleneck()
    graph = assert_lowers(model_of(gate, shape=(3, 3, 4)))
    assert kinds(graph) == ["MUL"] and not gate.keep.all()


@pytest.mark.parametrize(
    ("axis", "shape", "expected"),
    [
        (-1, (6,), ["L2_NORMALIZATION"]),
        ([3], (3, 4, 5), ["L2_NORMALIZATION"]),
        (-1, (2, 3, 4, 5), ["RESHAPE", "L2_NORMALIZATION", "RESHAPE"]),
        (1, (3, 4, 5), ["TRANSPOSE", "L2_NORMALIZATION", "TRANSPOSE"]),
        ([-1, 2], (3, 4, 5), ["RESHAPE", "L2_NORMALIZATION", "RESHAPE"]),
    ],
)
def test_unit_normalization_works_along_one_axis_or_the_last_ones(axis: Any, shape: Any, expected: list[str]) -> None:
    assert kinds(assert_lowers(model_of(layers.UnitNormalization(axis=axis), shape=shape))) == expected


@pytest.mark.parametrize("axis", [0, [1, 2]], ids=str)
def test_unit_normalization_along_other_axes_is_refused(axis: Any) -> None:
    with pytest.raises(ValueError, match=r"u \(UnitNormalization\): axis=.*supported are one axis, or the last ones"):
        lower(model_of(layers.UnitNormalization(axis=axis, name="u"), shape=(3, 4, 5)))


def test_unit_normalization_has_one_grid_and_equals_the_reference_kernels() -> None:
    model = model_of(layers.Dense(4), layers.UnitNormalization(name="unit"), layers.Dense(2), shape=(5,))
    small = tfc.compress(model, {".*": {"output": tfc.LSQ(bits=8)}})
    x = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    tfc.calibrate(small, x)
    blob = tfe.convert(small)
    (unit,) = [tensor for tensor in read(blob).tensors if tensor.name == "unit"]
    assert (unit.quantization.scale[0], unit.quantization.zero_point[0]) == (1 / 128, 0)
    tfe.verify(blob, x, keras_model=small).raise_if_different()
    with pytest.raises(ValueError, match=r"'unit' \(L2_NORMALIZATION\).*activation_type='int8'"):
        tfe.convert(model, x, activation_type="int16")
