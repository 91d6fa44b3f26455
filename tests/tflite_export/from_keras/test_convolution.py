"""Convolutions keep their numbers under TFLite's order of axes."""

import numpy as np
import pytest
from keras import layers

from from_keras.helpers import Fixed, assert_lowers, kinds, model_of, only
from tfcompress.compressed import Compressed
from tflite_export.from_keras import lower

CONVOLUTIONS = {
    "plain": layers.Conv2D(5, 3, name="c"),
    "same, stride": layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same"),
    "dilated": layers.Conv2D(4, 3, dilation_rate=(2, 1)),
    "grouped": layers.Conv2D(6, 3, groups=2, use_bias=False),
    "relu": layers.Conv2D(4, 1, activation="relu"),
    "softmax": layers.Conv2D(4, 1, activation="softmax"),
    "depthwise": layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
    "depthwise, multiplier": layers.DepthwiseConv2D(3, strides=2, depth_multiplier=3, use_bias=False),
    "depthwise, dilated": layers.DepthwiseConv2D(2, dilation_rate=2),
    "separable": layers.SeparableConv2D(5, 3, depth_multiplier=2, activation="relu"),
    "group per channel": layers.Conv2D(8, 3, groups=4),
    "transposed": layers.Conv2DTranspose(5, 3, strides=2),
    "transposed, same": layers.Conv2DTranspose(3, (3, 4), strides=(2, 3), padding="same", activation="relu"),
    "transposed, narrow": layers.Conv2DTranspose(3, 1, strides=2, use_bias=False),
    "transposed, swish": layers.Conv2DTranspose(3, 2, activation="silu"),
    "separable, softmax": layers.SeparableConv2D(5, 3, strides=2, padding="same", activation="softmax"),
}


@pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_the_float_graph_computes_what_keras_computes(layer: layers.Layer) -> None:
    assert_lowers(model_of(layer, shape=(9, 8, 4)))


def test_weights_are_named_after_layer_and_slot() -> None:
    graph = lower(model_of(layers.SeparableConv2D(3, 3, name="sep"), shape=(5, 5, 2)))
    assert [graph.tensors[op.inputs[1]].name for op in graph.ops] == ["sep/depthwise_kernel", "sep/pointwise_kernel"]
    assert [graph.tensors[op.outputs[0]].name for op in graph.ops] == ["sep/depthwise", "sep"]


def test_a_conv_without_bias_gets_zeros() -> None:
    graph = lower(model_of(layers.Conv2D(3, 1, use_bias=False), shape=(2, 2, 2)))
    np.testing.assert_array_equal(graph.tensors[only(graph, "CONV_2D").inputs[2]].data, np.zeros(3, np.float32))


def test_codes_and_steps_of_a_compressed_kernel_arrive_exactly() -> None:
    steps = np.array([0.1, 0.25, 0.7], np.float32)
    conv = Compressed(layers.Conv2D(3, 2), {"kernel": Fixed(steps, bits=4, narrow_range=True)})
    model = model_of(conv, shape=(4, 4, 2))
    graph = assert_lowers(model)
    weight = graph.tensors[only(graph, "CONV_2D").inputs[1]]
    expected = conv.transforms["kernel"].fixed.encode(np.asarray(conv.layer.kernel)).transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(weight.quantization.scale, steps)
    np.testing.assert_array_equal(np.rint(weight.data / steps.reshape(3, 1, 1, 1)), expected)
    assert (weight.quantization.axis, weight.quantization.bits) == (0, 4)


def test_steps_of_a_depthwise_kernel_run_along_its_last_axis() -> None:
    steps = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    layer = Compressed(layers.DepthwiseConv2D(2, depth_multiplier=2), {"kernel": Fixed(steps)})
    graph = assert_lowers(model_of(layer, shape=(4, 4, 2)))
    grid = graph.tensors[only(graph, "DEPTHWISE_CONV_2D").inputs[1]].quantization
    np.testing.assert_array_equal(grid.scale, steps.reshape(-1))
    assert grid.axis == 3


def test_both_kernels_of_a_compressed_separable_convolution_keep_their_grids() -> None:
    transforms = {"depthwise_kernel": Fixed(0.5, bits=4), "pointwise_kernel": Fixed(0.25, bits=3)}
    graph = assert_lowers(model_of(Compressed(layers.SeparableConv2D(3, 3), transforms), shape=(5, 5, 2)))
    assert [graph.tensors[op.inputs[1]].quantization.bits for op in graph.ops] == [4, 3]
    assert kinds(graph) == ["DEPTHWISE_CONV_2D", "CONV_2D"]


def test_steps_along_another_axis_are_refused_with_the_remedy() -> None:
    conv = Compressed(layers.Conv2D(3, 1, name="c"), {"kernel": Fixed(np.array([[0.1], [0.2]]))})
    with pytest.raises(ValueError, match=r"c \(Conv2D\): the scale of 'kernel' varies .* leave the transform's `axis`"):
        lower(model_of(conv, shape=(2, 2, 2)))


def test_channels_first_is_refused_by_name() -> None:
    layer = layers.Conv2D(3, 1, data_format="channels_first", name="first")
    with pytest.raises(ValueError, match=r"first \(Conv2D\): data_format='channels_first'"):
        lower(model_of(layer, shape=(2, 2, 2)))


LINES = {
    "plain": layers.Conv1D(5, 3),
    "same, stride": layers.Conv1D(4, 3, strides=2, padding="same", activation="relu"),
    "causal, dilated": layers.Conv1D(4, 3, dilation_rate=2, padding="causal"),
    "grouped": layers.Conv1D(6, 2, groups=2),
    "depthwise": layers.DepthwiseConv1D(3, depth_multiplier=2, padding="same"),
    "separable": layers.SeparableConv1D(5, 3, activation="relu"),
    "transposed": layers.Conv1DTranspose(3, 4, strides=2, padding="same"),
    "swish": layers.Conv1D(4, 3, activation="silu"),
}


@pytest.mark.parametrize("layer", LINES.values(), ids=LINES)
def test_convolutions_over_lines_compute_what_keras_computes(layer: layers.Layer) -> None:
    assert_lowers(model_of(layer, shape=(9, 4)))


def test_a_group_per_channel_is_depthwise() -> None:
    op = only(lower(model_of(layers.Conv2D(8, 3, groups=4), shape=(5, 5, 4))), "DEPTHWISE_CONV_2D")
    assert op.options["depth_multiplier"] == 2


def test_codes_and_steps_of_a_transposed_kernel_arrive_exactly() -> None:
    steps = np.array([0.1, 0.25, 0.7], np.float32).reshape(3, 1)
    layer = Compressed(layers.Conv2DTranspose(3, 2), {"kernel": Fixed(steps, bits=4, narrow_range=True)})
    graph = assert_lowers(model_of(layer, shape=(4, 4, 2)))
    weight = graph.tensors[only(graph, "TRANSPOSE_CONV").inputs[1]]
    expected = layer.transforms["kernel"].fixed.encode(np.asarray(layer.layer.kernel)).transpose(2, 0, 1, 3)
    np.testing.assert_array_equal(np.rint(weight.data / steps.reshape(3, 1, 1, 1)), expected)
    assert (weight.quantization.axis, weight.quantization.bits) == (0, 4)


def test_output_padding_is_refused_with_the_way_out() -> None:
    layer = layers.Conv2DTranspose(3, 3, strides=2, output_padding=1, name="t")
    with pytest.raises(ValueError, match=r"t \(Conv2DTranspose\): output_padding=.*UpSampling2D and a Conv2D"):
        lower(model_of(layer, shape=(4, 4, 2)))
