"""Law L0: inference is deployment. What is evaluated is what ``strip`` writes and what the flatbuffer holds."""

import keras
import numpy as np
import pytest
from cases import CASES, Case, alone, data, tensor, trained, transforms

import tfcompress as tfc
import tflite_export as tfe
from tfcompress import testing
from tflite_export.flatbuffer import read
from tflite_export.from_keras.grids import codebook_scale

WEIGHTS = [case for case in CASES if case.slot == "kernel"]
INTEGERS = [case for case in WEIGHTS if case.kind == "quantizes"]
MAPS = [case for case in CASES if case.slot == "output"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inference_is_pure(case: Case) -> None:
    testing.check_inference_is_pure(lambda: alone(case), tensor(case))


@pytest.mark.parametrize("case", WEIGHTS, ids=str)
def test_strip_writes_what_is_evaluated(case: Case) -> None:
    small = trained(case)
    plain = tfc.strip(small)
    x, _ = data()
    for name in ("conv", "dense"):
        evaluated = small.get_layer(name).effective("kernel", training=False)
        np.testing.assert_array_equal(plain.get_layer(name).kernel, evaluated)
        assert not np.array_equal(small.get_layer(name).layer.kernel, evaluated)
    np.testing.assert_array_equal(plain(x, training=False), small(x, training=False))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inference_is_hard_while_it_trains(case: Case) -> None:
    """Values are few, or zeros and unchanged weights: nothing in between."""
    small = trained(case)
    for name, transform in transforms(small).items():
        x = small.get_layer(name).layer.kernel if case.slot == "kernel" else data()[0]
        x = np.array(keras.ops.convert_to_numpy(x))
        y = np.array(transform(x, training=False))
        if case.kind == "quantizes":
            grid = transform.grid(x)
            levels = 2**grid.bits * np.size(grid.scale) if grid.values is None else np.size(grid.values)
            assert len(np.unique(y)) <= levels
        else:
            survivors = case.survivors(transform, x)
            assert set(np.unique(y)) <= {0.0, *np.unique(survivors)} and 0.05 < np.mean(y == 0) < 0.95


def whole_numbers(weight: np.ndarray, grid: tfc.Grid) -> np.ndarray:
    """The codes of a weight; for codebooks, whose codes are indices, the multiples of one scale that the values are."""
    if grid.values is None:
        return grid.encode(weight)
    *slices, size = grid.values.shape
    scales = [codebook_scale(values, "kernel") for values in grid.values.reshape(-1, size)]
    return np.rint(weight / np.reshape(scales, slices))


@pytest.mark.parametrize("case", INTEGERS, ids=str)
def test_flatbuffer_holds_the_codes_of_the_weights(case: Case) -> None:
    """Folding the batch norm may turn the sign of a channel's codes, and nothing else."""
    small = trained(case)
    constants = {t.name: t.data for t in read(tfe.convert(small, data()[0])).tensors if t.data is not None}
    for name, order in (("conv", (3, 0, 1, 2)), ("dense", (1, 0))):
        weight, grid = tfc.deployed(small.get_layer(name), "kernel")
        codes = np.transpose(whole_numbers(weight, grid), order).reshape(weight.shape[-1], -1)
        stored = constants[f"{name}/kernel"].reshape(weight.shape[-1], -1)
        signs = np.sign(np.sum(codes * stored, axis=1, keepdims=True, dtype=np.int64))
        np.testing.assert_array_equal(stored, codes * signs)


@pytest.mark.parametrize("case", MAPS, ids=str)
def test_flatbuffer_holds_the_grids_of_the_maps(case: Case) -> None:
    small = trained(case)
    tensors = {t.name: t.quantization for t in read(tfe.convert(small, data()[0])).tensors if t.data is None}
    for name, transform in transforms(small).items():
        stored, grid = tensors[name], transform.grid(np.zeros((1, 1), "float32"))
        np.testing.assert_array_equal(stored.scale, np.ravel(grid.scale))
        assert stored.zero_point[0] - grid.zero_point == 127 - grid.high  # codes end at the top of int8
