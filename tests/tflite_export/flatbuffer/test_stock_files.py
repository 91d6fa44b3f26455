"""Files that TensorFlow's own converter wrote."""

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
import tensorflow as tf

from tflite_export.flatbuffer import read, write
from tflite_export.litert import LiteRT


def network(batch):
    layers = tf.keras.layers
    x = image = tf.keras.Input((8, 8, 3), batch_size=batch)
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = y = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.Concatenate()([x, layers.AveragePooling2D(1)(y)])
    x = layers.MaxPooling2D()(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Flatten()(x)
    return tf.keras.Model(image, layers.Dense(4, activation="softmax")(x))


@pytest.fixture(scope="module", params=[1, None], ids=["static_batch", "dynamic_batch"])
def blob(request):
    tf.keras.utils.set_random_seed(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(network(request.param))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = np.random.default_rng(0).standard_normal((16, 1, 8, 8, 3), np.float32)
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        return converter.convert()


def test_every_field_that_matters_is_read(blob):
    graph = read(blob)
    kinds = [op.kind for op in graph.ops]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "CONCATENATION", "PAD", "FULLY_CONNECTED", "SOFTMAX"} <= set(kinds)
    conv = graph.ops[kinds.index("CONV_2D")]
    assert (conv.options["padding"], conv.options["stride_h"]) == ("SAME", 2)
    assert conv.options["fused_activation_function"] == "RELU6"
    kernel = graph.tensors[conv.inputs[1]]
    assert (kernel.shape, kernel.dtype, kernel.quantization.scale.shape) == ((6, 3, 3, 3), "int8", (6,))
    assert (kernel.quantization.axis, kernel.quantization.bits) == (0, 8)
    assert graph.signature[0] == "serving_default"
    assert "min_runtime_version" in graph.metadata


def test_writing_it_again_changes_no_tensor_in_the_runtime(blob):
    ours = write(read(blob))
    image = np.random.default_rng(1).integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
    with LiteRT("reference") as litert:
        before, after = litert.run(blob, [image]), litert.run(ours, [image])
    assert before.keys() == after.keys()
    for index, value in before.items():
        np.testing.assert_array_equal(after[index], value)


def test_reading_our_copy_gives_the_same_graph(blob):
    assert read(write(read(blob))) == read(blob)
