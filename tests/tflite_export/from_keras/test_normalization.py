"""Batch norm and rescaling: one factor and one offset per channel."""

import pytest
from keras import layers

from from_keras.helpers import assert_lowers, kinds, model_of
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
