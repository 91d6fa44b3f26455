"""A small CNN on real images, and what TFMOT makes of it: the models that users bring along."""

from types import SimpleNamespace

import numpy as np
from sklearn.datasets import load_digits

from tfcompress.interop.files import import_tfmot

tfmot, tf_keras = import_tfmot()
sparsity, clustering, quantization = tfmot.sparsity.keras, tfmot.clustering.keras, tfmot.quantization.keras

IMAGES = (load_digits().images[..., None] / 16).astype(np.float32)
LABELS = load_digits().target


def network() -> "tf_keras.Model":
    """The float network: logits, as in TFMOT's own examples."""
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(momentum=0.8, name="bn"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(16, 3, activation="relu", name="conv2"),
            layers.Flatten(name="flat"),
            layers.Dense(10, name="logits"),
        ],
        name="net",
    )


def fit(model: "tf_keras.Model", steps: int = 6, eager: bool = True, callbacks: tuple = ()) -> "tf_keras.Model":
    """A few steps; run eagerly, TFMOT's wrappers need no seconds of tracing."""
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.01), loss, run_eagerly=eager)
    model.fit(IMAGES[: 64 * steps], LABELS[: 64 * steps], 64, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def fresh(model: "tf_keras.Model") -> "tf_keras.Model":
    """A copy: TFMOT's clustering takes the layers that it is given apart."""
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def pruned(model: "tf_keras.Model", **arguments: object) -> "tf_keras.Model":
    arguments = arguments or {"pruning_schedule": sparsity.PolynomialDecay(0.3, 0.8, 0, 4, frequency=1)}
    wrapped = sparsity.prune_low_magnitude(fresh(model), **arguments)
    return fit(wrapped, callbacks=(sparsity.UpdatePruningStep(),))


def clustered(model: "tf_keras.Model", number: int = 16, preserve_sparsity: bool = False) -> "tf_keras.Model":
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    start = clustering.CentroidInitialization.KMEANS_PLUS_PLUS
    return fit(cluster.cluster_weights(fresh(model), number, start, preserve_sparsity=preserve_sparsity))


def preserving(model: "tf_keras.Model", what: str, **arguments: object) -> "tf_keras.Model":
    """Quantised by the scheme that preserves zeros (``prune``) or clusters (``cluster``)."""
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        default_8bit_cluster_preserve_quantize_scheme as cluster,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        default_8bit_prune_preserve_quantize_scheme as prune,
    )

    schemes = {
        "prune": prune.Default8BitPrunePreserveQuantizeScheme,
        "cluster": cluster.Default8BitClusterPreserveQuantizeScheme,
    }
    return fit(
        quantization.quantize_apply(quantization.quantize_annotate_model(fresh(model)), schemes[what](**arguments))
    )


def zoo() -> SimpleNamespace:
    """All of them."""
    tf_keras.utils.set_random_seed(0)
    plain = fit(network(), 28, eager=False)
    thin = pruned(plain)
    both = clustered(sparsity.strip_pruning(thin), 8, preserve_sparsity=True)
    return SimpleNamespace(
        plain=plain,
        qat=fit(quantization.quantize_model(fresh(plain))),
        pruned=thin,
        two_four=pruned(plain, sparsity_m_by_n=(2, 4)),
        clustered=clustered(plain),
        pqat=preserving(sparsity.strip_pruning(thin), "prune"),
        pcqat=preserving(clustering.strip_clustering(both), "cluster", preserve_sparsity=True),
    )


def tflite(model: "tf_keras.Model", samples: np.ndarray | None) -> bytes:
    """TFMOT's way to a file of integers: stripped, then the stock converter, on samples where no range is trained."""
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import cluster_utils

    kinds = {type(layer).__name__ for layer in model.layers}
    if "PruneLowMagnitude" in kinds:
        model = sparsity.strip_pruning(model)
    if "ClusterWeights" in kinds:
        model = clustering.strip_clustering(model)
    if any("cluster_centroids_tf" in variable.name for variable in model.variables):
        model = cluster_utils.strip_clustering_cqat(model)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    if samples is not None:
        converter.representative_dataset = lambda: ([image[None]] for image in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()
