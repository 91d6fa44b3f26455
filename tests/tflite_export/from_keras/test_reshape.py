"""Layers that move numbers about."""

import pytest
from keras import layers

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
