"""Layers that change the number of rows and columns."""

import pytest
from keras import layers

from from_keras.helpers import assert_lowers, kinds, model_of
from tflite_export.from_keras import lower

RESIZES = {
    "nearest": layers.UpSampling2D((2, 3)),
    "bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
    "to a size": layers.Resizing(7, 2),
    "to a size, nearest": layers.Resizing(3, 9, interpolation="nearest"),
}


@pytest.mark.parametrize("layer", RESIZES.values(), ids=RESIZES)
def test_images_are_resized_as_keras_does(layer: layers.Layer) -> None:
    (kind,) = kinds(assert_lowers(model_of(layer, shape=(4, 5, 3))))
    assert kind == ("RESIZE_NEAREST_NEIGHBOR" if layer.interpolation == "nearest" else "RESIZE_BILINEAR")


def test_lines_repeat_their_steps() -> None:
    graph = assert_lowers(model_of(layers.UpSampling1D(3), shape=(4, 2)))
    assert kinds(graph) == ["RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "RESHAPE"]


def test_a_vector_becomes_a_line_of_itself() -> None:
    graph = assert_lowers(model_of(layers.RepeatVector(5), shape=(3,)))
    assert "RESIZE_NEAREST_NEIGHBOR" in kinds(graph) and graph.tensors[graph.outputs[0]].shape == (1, 5, 3)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.UpSampling2D(2, interpolation="bicubic"), "interpolation='bicubic'; supported are nearest, bilinear"),
        (layers.Resizing(3, 3, crop_to_aspect_ratio=True), "crop_to_aspect_ratio=True; supported is False"),
    ],
)
def test_other_ways_are_refused(layer: layers.Layer, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        lower(model_of(layer, shape=(4, 5, 3)))
