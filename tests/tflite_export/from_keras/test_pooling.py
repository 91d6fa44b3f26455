"""Pooling over windows and over whole images."""

import pytest
from keras import layers

from from_keras.helpers import assert_lowers, kinds, model_of
from tflite_export.from_keras import lower


@pytest.mark.parametrize("kind", [layers.MaxPooling2D, layers.AveragePooling2D])
@pytest.mark.parametrize("arguments", [(2,), ((3, 2), (1, 2)), (3, 2, "same"), (2, 3, "same")], ids=str)
def test_windows_are_those_of_keras(kind: type, arguments: tuple) -> None:
    assert_lowers(model_of(kind(*arguments), shape=(7, 6, 3)))


@pytest.mark.parametrize("keepdims", [True, False])
def test_global_pooling_keeps_dimensions_if_asked(keepdims: bool) -> None:
    mean = assert_lowers(model_of(layers.GlobalAveragePooling2D(keepdims=keepdims), shape=(5, 4, 3)))
    most = assert_lowers(model_of(layers.GlobalMaxPooling2D(keepdims=keepdims), shape=(5, 4, 3)))
    assert kinds(mean) == ["MEAN"]
    assert kinds(most) == ["MAX_POOL_2D"] + ["RESHAPE"] * (not keepdims)


def test_channels_first_is_refused_by_name() -> None:
    layer = layers.GlobalAveragePooling2D(data_format="channels_first", name="g")
    with pytest.raises(ValueError, match=r"g \(GlobalAveragePooling2D\): data_format='channels_first'"):
        lower(model_of(layer, shape=(3, 4, 4)))


@pytest.mark.parametrize("kind", [layers.MaxPooling1D, layers.AveragePooling1D])
@pytest.mark.parametrize("arguments", [(2,), (3, 2, "same"), (2, 3, "valid")], ids=str)
def test_lines_are_pooled_as_images_of_one_row(kind: type, arguments: tuple) -> None:
    assert len(kinds(assert_lowers(model_of(kind(*arguments), shape=(7, 3))))) == 3


@pytest.mark.parametrize("keepdims", [True, False])
def test_whole_lines_are_pooled(keepdims: bool) -> None:
    mean = assert_lowers(model_of(layers.GlobalAveragePooling1D(keepdims=keepdims), shape=(5, 3)))
    most = assert_lowers(model_of(layers.GlobalMaxPooling1D(keepdims=keepdims), shape=(5, 3)))
    assert (kinds(mean), kinds(most)) == (["MEAN"], ["RESHAPE", "MAX_POOL_2D", "RESHAPE"])
