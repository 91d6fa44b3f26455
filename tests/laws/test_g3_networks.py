"""Law G3 on whole networks that the stock converter wrote: every tensor equals LiteRT's, bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tflite_export.flatbuffer import read
from tflite_export.interpreter import Executor, Interpreter
from tflite_export.litert import LiteRT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning"),
]


@pytest.fixture(scope="module")
def litert():
    with LiteRT("reference") as runtime:
        yield runtime


def converted(model, ends=tf.int8):
    """What ``TFLiteConverter`` makes of a Keras model with a batch of one, quantised after training on random data."""
    rng, shape = np.random.default_rng(0), model.input_shape
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.uniform(-1, 1, shape).astype(np.float32)] for _ in range(2))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = ends
    return converter.convert()


def live_mobilenet_v2(side=96, alpha=0.35):
    """A MobileNetV2 with random weights whose batch norms have seen data, so that no activation dies on the way."""
    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV2(weights=None, input_shape=(side, side, 3), alpha=alpha)
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0  # the moving statistics become those of the next batch
    base(np.random.default_rng(1).uniform(-1, 1, (4, side, side, 3)).astype(np.float32), training=True)
    base.layers[-1].kernel.assign(base.layers[-1].kernel * 4)
    inputs = keras.Input(batch_shape=(1, side, side, 3))
    return keras.Model(inputs, base(inputs))


def dense():
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input(batch_shape=(1, 20))
    x = layers.Dense(2000, activation="relu")(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(10)(x)))


def branches():
    keras.utils.set_random_seed(2)
    x = inputs = keras.Input(batch_shape=(1, 13, 11, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(2)(x)))
    x = layers.Concatenate()([
        layers.Conv2D(4, 3, padding="same", dilation_rate=2, activation="relu")(x),
        layers.Conv2D(8, 3, padding="same", groups=4)(x),
        layers.SeparableConv2D(6, 5, padding="same", depth_multiplier=2)(x),
    ])  # fmt: skip
    x = layers.Dense(5)(layers.Flatten()(layers.AveragePooling2D(3, strides=2, padding="same")(x)))
    return keras.Model(inputs, layers.Softmax()(x))


def residual():
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input(batch_shape=(1, 16, 16, 4))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Subtract()([layers.Multiply()([x, gate]), layers.Maximum()([x, y])])
    x = layers.Permute((3, 1, 2))(layers.MaxPooling2D(2)(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Reshape((-1,))(x)))


def assert_equal_in_every_tensor(blob, litert):
    graph = read(blob)
    rng, (shape,) = np.random.default_rng(5), [graph.tensors[k].shape for k in graph.inputs]
    dtype = graph.tensors[graph.inputs[0]].dtype
    x = rng.uniform(-1, 1, shape).astype(np.float32) if dtype == "float32" else rng.integers(0, 256, shape, np.uint8)
    theirs = litert.run(blob, [x.view(dtype)])
    ours = Executor(graph).run([x.view(dtype)], keep=True)
    made = [index for op in graph.ops for index in op.outputs]
    assert set(made) <= theirs.keys()
    differing = {graph.tensors[k].name: int((ours[k] != theirs[k]).sum()) for k in made if (ours[k] != theirs[k]).any()}
    assert differing == {}
    assert len(np.unique(ours[made[-2]])) > 1, "a dead network proves nothing"
    return graph


@pytest.mark.parametrize(
    ("build", "ends"),
    [(dense, tf.int8), (branches, tf.int8), (residual, tf.int8), (residual, tf.uint8), (dense, tf.float32)],
)
def test_small_network_equals_the_reference(build, ends, litert):
    assert_equal_in_every_tensor(converted(build(), ends), litert)


@pytest.mark.evidence
def test_mobilenet_v2_at_its_full_size_equals_the_reference(litert):
    assert len(assert_equal_in_every_tensor(converted(live_mobilenet_v2(224, 1.0)), litert).ops) == 65


def test_mobilenet_v2_at_96_equals_the_reference_and_batches(litert):
    blob = converted(live_mobilenet_v2())
    assert len(assert_equal_in_every_tensor(blob, litert).ops) == 65
    x = np.random.default_rng(6).integers(-128, 128, (5, 96, 96, 3)).astype(np.int8)
    executor = Executor(read(blob))
    alone = [next(iter(executor.run([x[k : k + 1]]).values())) for k in range(len(x))]
    np.testing.assert_array_equal(Interpreter(model_content=blob).predict(x, batch_size=3), np.concatenate(alone))
