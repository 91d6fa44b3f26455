"""TFMOT's side of ``peers.py``, a process of its own because TFMOT runs on tf_keras alone.

    python benchmarks/peers_tfmot.py JOB IMAGES SEED FOLDER       reads weights.npz, writes model.tflite there

    qat8             quantize_model, six epochs
    prune80, 90      PolynomialDecay to the first 64 % of the steps, then PTQ; targets by layer
    cluster16        cluster_weights, 16 centroids by k-means++, then PTQ
    pcqat80, 90      three epochs of pruning, one of clustering that keeps zeros, two of quantisation that keeps both

Adam at 3e-4, or at what stands behind the job as in ``pcqat90@0.001``, and one cosine over all six epochs, whatever the
stages.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster as experimental
from tf_keras import layers

BATCH, EPOCHS = 128, 6
TARGETS = {"80": {"conv1": 0.65, "conv2": 0.65, "fc0": 0.822}, "90": {"conv1": 0.75, "conv2": 0.75, "fc0": 0.924}}
"""Zeros by layer that make 80 and 90 % of all weights; the small first and last layer stay dense."""

CENTROIDS = {
    "number_of_clusters": 16,
    "cluster_centroids_init": tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
}


class Later(keras.optimizers.schedules.LearningRateSchedule):
    """A cosine that has already run for some steps."""

    def __init__(self, rate: float, steps: int, passed: int) -> None:
        self.cosine, self.passed = keras.optimizers.schedules.CosineDecay(rate, steps), passed

    def __call__(self, step: Any) -> Any:
        """The rate."""
        return self.cosine(step + self.passed)

    def get_config(self) -> dict[str, Any]:
        """Nothing is saved."""
        return {}


def network(weights: Any = None) -> keras.Model:
    """``fashion-cnn`` with the weights of the float network, or not trained."""
    inputs = x = keras.Input((28, 28, 1), name="image")
    for k, (filters, pooling) in enumerate([(32, True), (64, True), (64, False)]):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{k}")(x)
        x = layers.ReLU(name=f"relu{k}")(layers.BatchNormalization(name=f"norm{k}")(x))
        x = layers.MaxPooling2D(name=f"pool{k}")(x) if pooling else x
    x = layers.Dense(128, activation="relu", name="fc0")(layers.Flatten(name="flat")(x))
    model = keras.Model(inputs, layers.Dense(10, name="fc1")(x))
    for layer in model.layers if weights else ():
        layer.set_weights([weights[f"{layer.name}.{k}"] for k in range(len(layer.weights))])
    return model


class Training:
    """Six epochs, in stages."""

    def __init__(self, images: int, rate: float) -> None:
        (x, y), _ = keras.datasets.fashion_mnist.load_data()
        whole = images // BATCH * BATCH
        self.x, self.y = (x[:images, ..., None] / 255).astype("float32"), y[:images]
        self.whole, self.per_epoch, self.passed, self.rate = whole, whole // BATCH, 0, rate

    def fit(self, model: keras.Model, epochs: int, callbacks: Any = ()) -> keras.Model:
        """The next epochs of the cosine."""
        rate = Later(self.rate, EPOCHS * self.per_epoch, self.passed)
        model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        x, y = self.x[: self.whole], self.y[: self.whole]
        model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))
        self.passed += epochs * self.per_epoch
        return model


def pruned(model: keras.Model, work: Training, percent: str, epochs: int, share: float) -> keras.Model:
    """Behind ``epochs`` in which zeros grow over ``share`` of the steps."""
    end = round(share * epochs * work.per_epoch)

    def wrapped(layer: Any) -> Any:
        target = TARGETS[percent].get(layer.name)
        if target is None:
            return layer
        schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, target, 0, end, frequency=min(100, max(1, end)))
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    twin = keras.models.clone_model(model, clone_function=wrapped)
    _copy(model, twin)
    work.fit(twin, epochs, [tfmot.sparsity.keras.UpdatePruningStep()])
    return tfmot.sparsity.keras.strip_pruning(twin)


def _copy(model: keras.Model, twin: keras.Model) -> None:
    """The weights of the float layers, into wrappers as well."""
    for old, new in zip(model.layers, twin.layers, strict=True):
        inner = getattr(new, "layer", new)
        inner.set_weights(old.get_weights())


def pcqat(model: keras.Model, work: Training, percent: str) -> keras.Model:
    """Pruning, clustering that keeps zeros, quantisation that keeps both."""
    model = pruned(model, work, percent, 3, 0.71)
    clustered = work.fit(experimental.cluster_weights(model, preserve_sparsity=True, **CENTROIDS), 1)
    model = tfmot.clustering.keras.strip_clustering(clustered)
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=True)
    return work.fit(tfmot.quantization.keras.quantize_apply(annotated, scheme), 2)


def clustered(model: keras.Model, work: Training) -> keras.Model:
    """Clustering alone."""
    twin = work.fit(tfmot.clustering.keras.cluster_weights(model, **CENTROIDS), EPOCHS)
    return tfmot.clustering.keras.strip_clustering(twin)


def converted(model: keras.Model, images: Any) -> bytes:
    """int8 for one image; calibrated on 500 where the network has not learned its ranges."""
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, 28, 28, 1), tf.float32, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if images is not None:
        converter.representative_dataset = lambda: ([image[None]] for image in images[:500])
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


JOBS = {
    "qat8": lambda model, work: work.fit(tfmot.quantization.keras.quantize_model(model), EPOCHS),
    "prune80": lambda model, work: pruned(model, work, "80", EPOCHS, 0.64),
    "prune90": lambda model, work: pruned(model, work, "90", EPOCHS, 0.64),
    "cluster16": clustered,
    "pcqat80": lambda model, work: pcqat(model, work, "80"),
    "pcqat90": lambda model, work: pcqat(model, work, "90"),
}


def main() -> None:
    """One job."""
    job, _, rate = sys.argv[1].partition("@")
    images, seed, folder = int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    keras.utils.set_random_seed(100 + seed)
    with np.load(folder / "weights.npz") as weights:
        model = network(weights)
    work = Training(images, float(rate or 3e-4))
    images = None if "q" in job else work.x
    (folder / "model.tflite").write_bytes(converted(JOBS[job](model, work), images))


if __name__ == "__main__":
    main()
