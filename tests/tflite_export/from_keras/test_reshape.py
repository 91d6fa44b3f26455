"""Layers that move numbers about."""

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers, ops

from from_keras.helpers import assert_lowers, kinds, model_of
from tflite_export.from_keras import lower


@pytest.mark.parametrize(
    "layer", [layers.Flatten(), layers.Reshape((8, 3)), layers.Reshape((-1, 2)), layers.Reshape((24,))], ids=str
)
def test_reshapes_keep_the_order(layer: layers.Layer) -> None:
    assert kinds(assert_lowers(model_of(layer, shape=(4, 3, 2)))) == ["RESHAPE"]


@pytest.mark.parametrize("padding", [1, (2, 1), ((1, 0), (2, 3))], ids=str)
def test_zero_padding_pads_rows_and_columns(padding: object) -> None:
    assert kinds(assert_lowers(model_of(layers.ZeroPadding2D(padding), shape=(4, 3, 2)))) == ["PAD"]


def test_flatten_of_channels_first_is_refused() -> None:
    with pytest.raises(ValueError, match=r"f \(Flatten\): data_format='channels_first'"):
        lower(model_of(layers.Flatten("channels_first", name="f"), shape=(4, 3, 2)))


@pytest.mark.parametrize("dims", [(2, 1, 3), (3, 1, 2), (1, 2, 3)], ids=str)
def test_permute_is_one_transpose(dims: tuple[int, ...]) -> None:
    assert kinds(assert_lowers(model_of(layers.Permute(dims), shape=(4, 3, 2)))) == ["TRANSPOSE"]


@pytest.mark.parametrize(
    ("layer", "shape", "kind"),
    [
        (layers.ZeroPadding1D((2, 1)), (4, 3), "PAD"),
        (layers.Cropping1D((2, 1)), (6, 3), "STRIDED_SLICE"),
        (layers.Cropping2D(((1, 0), (2, 1))), (4, 5, 3), "STRIDED_SLICE"),
    ],
)
def test_borders_are_added_and_cut_off(layer: layers.Layer, shape: tuple[int, ...], kind: str) -> None:
    assert kinds(assert_lowers(model_of(layer, shape=shape))) == [kind]


def of_operation(function: Callable[[Any], Any], *shape: int) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, function(x))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, 1:3],
        lambda x: x[:, ::-1, ::2],
        lambda x: x[..., -1],
        lambda x: x[:, 2, None, :, 1:],
        lambda x: x[:, -3:-1, ..., :1],
        lambda x: ops.pad(x, [(0, 0), (1, 0), (0, 2), (0, 0)]),
        lambda x: ops.mean(x, axis=(1, 3)),
        lambda x: ops.mean(x, axis=-1, keepdims=True),
    ],
)
def test_slices_padding_and_means_by_operations(function: Callable[[Any], Any]) -> None:
    assert_lowers(of_operation(function, 5, 4, 3))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x[0], "the index 0 into the batch"),
        (lambda x: ops.pad(x, [(0, 0), (1, 0), (0, 2), (0, 0)], mode="reflect"), "supported are zeros"),
        (lambda x: ops.mean(x, axis=0), "which holds the batch"),
    ],
)
def test_operations_that_mix_samples_or_invent_numbers_are_refused(function: Callable[[Any], Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        lower(of_operation(function, 5, 4, 3))
