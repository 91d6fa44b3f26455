"""Fashion-MNIST, three networks, one protocol: what all accuracy benchmarks share.

    fashion-cnn      three 3x3 convolutions of 32, 64 and 64 channels without bias, each with batch norm and ReLU, max
                     pooling behind the first two; dense 128 with ReLU; dense 10 (logits). 458,272 kernel weights, 6.05
                     million MACs. Where a benchmark names no network, it is this one
    fashion-mobile   a 3x3 convolution, four pairs of depthwise and 1x1 convolutions, the mean; dense 10
    resnet-20        the network of that name, its first convolution with stride 2: three stages of 16, 32 and 64
                     channels and three blocks each, the mean; dense 10

Float training: Adam 1e-3, batch 128, 10 epochs. Everything else starts from that network and trains for 6 epochs of
Adam at 3e-4 with one cosine to zero, techniques and controls alike. Pixels are divided by 255; no augmentation, no
validation split, last-epoch weights. Accuracy is that of the int8 .tflite file on our interpreter, on the 10,000 test
images. Ranges that no Transform has learned come from the first 500 training images.
"""

import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

import tfcompress as tfc
import tflite_export as tfe

BATCH, FLOAT_EPOCHS, EPOCHS, RATE = 128, 10, 6, 3e-4
CACHE = Path(__file__).parent / "cache"
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def data(images: int = 60_000, held_out: bool = False) -> Data:
    """Training images and labels (the first ``images`` of them), test images and labels.

    With ``held_out``, the last 10,000 training images stand for the test images: for choosing settings.
    """
    (x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    if held_out:
        (x, x_test), (y, y_test) = np.split(x, [50_000]), np.split(y, [50_000])
    scaled = [(part[..., None] / 255).astype("float32") for part in (x[:images], x_test)]
    return scaled[0], y[:images], scaled[1], y_test


def network() -> keras.Model:
    """``fashion-cnn``, not trained; its layers are conv0, conv1, conv2, fc0, fc1."""
    inputs = x = keras.Input((28, 28, 1), name="image")
    for k, (filters, pooling) in enumerate([(32, True), (64, True), (64, False)]):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{k}")(x)
        x = layers.ReLU(name=f"relu{k}")(layers.BatchNormalization(name=f"norm{k}")(x))
        x = layers.MaxPooling2D(name=f"pool{k}")(x) if pooling else x
    x = layers.Dense(128, activation="relu", name="fc0")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(10, name="fc1")(x))


def mobile() -> keras.Model:
    """``fashion-mobile``, not trained."""
    inputs = x = keras.Input((28, 28, 1), name="image")
    x = _normal(layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv0")(x), "conv0")
    for k, (filters, strides) in enumerate([(32, 2), (64, 1), (64, 2), (128, 1)], 1):
        deep = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False, name=f"deep{k}")
        x = _normal(deep(x), f"deep{k}")
        x = _normal(layers.Conv2D(filters, 1, use_bias=False, name=f"conv{k}")(x), f"conv{k}")
    return keras.Model(inputs, layers.Dense(10, name="fc1")(layers.GlobalAveragePooling2D(name="mean")(x)))


def resnet20() -> keras.Model:
    """``resnet-20``, not trained; blocks are ``<stage>_<block>a`` and ``b``, ``<stage>_1c`` where a shape changes."""

    def conv(x: Any, filters: int, size: int, strides: int, name: str, relu: bool = True) -> Any:
        x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False, name=name)(x)
        return _normal(x, name) if relu else layers.BatchNormalization(name=f"{name}_norm")(x)

    inputs = keras.Input((28, 28, 1), name="image")
    x = conv(inputs, 16, 3, 2, "conv0")
    for stage, filters in ((1, 16), (2, 32), (3, 64)):
        for block in (1, 2, 3):
            name, strides = f"{stage}_{block}", 2 if stage > 1 and block == 1 else 1
            y = conv(conv(x, filters, 3, strides, f"{name}a"), filters, 3, 1, f"{name}b", relu=False)
            x = conv(x, filters, 1, strides, f"{name}c", relu=False) if strides == 2 else x
            x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, y]))
    return keras.Model(inputs, layers.Dense(10, name="fc1")(layers.GlobalAveragePooling2D(name="mean")(x)))


def _normal(x: Any, name: str) -> Any:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))


USUAL = "fashion-cnn"
NETWORKS: dict[str, Callable[[], keras.Model]] = {USUAL: network, "fashion-mobile": mobile, "resnet-20": resnet20}


def one_kernel(self: layers.BatchNormalization, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """Keras' batch norm on TensorFlow is a dozen passes over the map; this is the same function in one kernel."""
    if not (training and self.trainable) or type(self) is not layers.BatchNormalization or len(inputs.shape) != 4:
        return keras_batch_norm(self, inputs, training=training, mask=mask)
    import tensorflow as tf  # not where JAX trains

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=self.gamma, offset=self.beta, mean=[], variance=[], epsilon=self.epsilon, is_training=True
    )
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], "float32")
    for average, new in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
        average.assign(self.momentum * average + (1 - self.momentum) * new)
    return y


keras_batch_norm = layers.BatchNormalization.call
if keras.backend.backend() == "tensorflow":
    layers.BatchNormalization.call = one_kernel


def steps(images: int, epochs: int = EPOCHS) -> int:
    """Training steps in so many epochs; the last partial batch is dropped."""
    return images // BATCH * epochs


def cosine(of: Data, epochs: int = EPOCHS, rate: float = RATE) -> keras.optimizers.schedules.CosineDecay:
    """From ``rate`` to zero over so many epochs."""
    return keras.optimizers.schedules.CosineDecay(rate, steps(len(of[0]), epochs))


def fit(
    model: keras.Model, of: Data, seed: int, rate: Any, epochs: int, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.Model:
    """Trains on whole batches, in an order that only the seed decides."""
    x, y = of[:2]
    whole = len(x) // BATCH * BATCH
    keras.utils.set_random_seed(seed)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x[:whole], y[:whole], batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def kept(name: str, make: Callable[[], keras.Model]) -> keras.Model:
    """A trained model, made once and kept in ``benchmarks/cache``."""
    file = CACHE / f"{name}.keras"
    if not file.exists():
        CACHE.mkdir(exist_ok=True)
        own = file.with_suffix(f".{os.getpid()}.keras")  # scripts that run side by side may make the same
        make().save(own)
        own.rename(file)
    return keras.models.load_model(file)


def float_network(of: Data, seed: int, name: str = USUAL) -> keras.Model:
    """The float network that everything starts from."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(seed)
        return fit(NETWORKS[name](), of, seed, 1e-3, FLOAT_EPOCHS)

    return kept(f"{'float' if name == USUAL else name}-{len(of[0])}-{seed}", make)


def fine_tuned(
    model: keras.Model,
    of: Data,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    rate: float = RATE,
    epochs: int = EPOCHS,
) -> keras.Model:
    """Adam, one cosine to zero."""
    return fit(model, of, 100 + seed, cosine(of, epochs, rate), epochs, callbacks)


def control(of: Data, seed: int, rate: float = RATE, name: str = USUAL) -> keras.Model:
    """The float network behind six more epochs: what training alone gives."""
    parts = ["control", *([name] if name != USUAL else []), str(len(of[0])), str(seed)]
    parts += [f"{rate:g}"] if rate != RATE else []
    return kept("-".join(parts), lambda: fine_tuned(float_network(of, seed, name), of, seed, rate=rate))


def compressed(of: Data, seed: int, rules: Any, name: str = USUAL) -> keras.Model:
    """The float network with transforms, calibrated on 512 training images."""
    small = tfc.compress(float_network(of, seed, name), rules)
    tfc.calibrate(small, of[0][:512])
    return small


def scores(model: keras.Model, of: Data) -> dict[str, Any]:
    """Exports, runs the test set on our interpreter, and reads the file back.

    Returns:
        ``accuracy`` and ``zeros`` of all kernels in percent; ``file``, ``zlib``: bytes of the .tflite, plain and
        compressed; ``entropy``: bytes of the kernels at their zeroth-order entropy; zeros (fraction), bits and distinct
        values by layer.
    """
    blob = tfe.convert(model, of[0][:500], inference_output_type="float32")
    right = np.argmax(tfe.Interpreter(model_content=blob).predict(of[2], batch_size=250), axis=-1) == of[3]
    kernels = {row["tensor"].split("/")[0]: row for row in tfe.receipt(blob).rows if row["tensor"].endswith("/kernel")}
    zeros, weights = (sum(row[key] for row in kernels.values()) for key in ("zeros", "elements"))
    return {
        "accuracy": round(100 * float(np.mean(right)), 2),
        "file": len(blob),
        "zlib": len(zlib.compress(blob, 9)),
        "entropy": sum(row["entropy_bytes"] for row in kernels.values()),
        "zeros": round(100 * zeros / weights, 2),
        "zeros_by_layer": {name: round(row["zeros"] / row["elements"], 4) for name, row in kernels.items()},
        "bits_by_layer": {name: row["true_bits"] for name, row in kernels.items()},
        "distinct_by_layer": {name: row["distinct"] for name, row in kernels.items()},
    }


Recipe = Callable[[Data, int], keras.Model]
"""``recipe(data, seed)`` gives a trained model."""
