import keras
import numpy as np
import pytest

import tfcompress as tfc
from interop.zoo import clustering, quantization, sparsity, tf_keras
from tfcompress.interop.tfmot import from_tfmot
from tfcompress.transform import members

layers = tf_keras.layers
X = np.random.default_rng(0).random((4, 8, 8, 4), "float32") - 0.2


def assert_equal(theirs, x=X):
    """Equal predictions; those near the middle between two codes may be off by one code."""
    ours = from_tfmot(theirs)
    wanted, found = np.asarray(theirs(x, training=False)), np.asarray(ours(x, training=False))
    assert np.mean(np.abs(found - wanted) <= 1e-5) > 0.99
    return ours


@pytest.fixture(scope="module")
def mixed():
    """A quantised network of all sorts of layers, with ranges from one batch."""
    x = layers.Input((8, 8, 4), name="image")
    left = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    left = layers.BatchNormalization(name="bn")(left)
    right = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="separable")(x)
    both = layers.Activation("relu", name="relu")(layers.Add(name="add")([left, right]))
    both = layers.Concatenate(name="concat")([both, layers.Conv2D(2, 1, activation="gelu", name="gelu")(both)])
    up = layers.Conv2DTranspose(3, 3, strides=2, name="up")(layers.AveragePooling2D(name="pool")(both))
    flat = layers.GlobalAveragePooling2D(name="mean")(layers.LeakyReLU(name="leaky")(up))
    y = layers.Dense(5, activation="softmax", name="dense")(layers.Dropout(0.5, name="drop")(flat))
    model = quantization.quantize_model(tf_keras.Model(x, y))
    model(X, training=True)
    return model


def test_a_quantised_network_of_all_sorts_of_layers_is_equal(mixed):
    ours = assert_equal(mixed)
    names = [layer.name for layer in ours.layers]
    assert {"image_output", "depthwise", "bn_output", "relu_output", "gelu_gelu_output", "up", "leaky_output"} <= {
        *names
    }
    assert names[-3:] == ["dense", "dense_output", "dense_softmax"]
    assert ours.get_layer("depthwise").transforms.keys() == {"kernel"}


def test_a_quantised_network_is_saved_by_keras(mixed, tmp_path):
    ours = from_tfmot(mixed)
    ours.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "net.keras")(X), ours(X, training=False))


def test_ranges_that_have_seen_nothing_are_to_be_calibrated():
    theirs = quantization.quantize_model(tf_keras.Sequential([layers.Dense(2, input_shape=(3,), name="d")]))
    ours = from_tfmot(theirs)
    x = np.random.default_rng(0).random((8, 3), "float32")
    assert np.isnan(ours(x)).all()
    tfc.calibrate(ours, x)
    assert np.isfinite(ours(x)).all()


def wrapped(layer, shape, steps=3, **arguments):
    """A pruned layer after some steps, eagerly and without an optimizer: what counts is the mask."""
    model = sparsity.prune_low_magnitude(tf_keras.Sequential([layers.Input(shape), layer]), **arguments)
    for step in range(steps):
        tf_keras.backend.set_value(model.layers[0].pruning_step, step)
        model(np.ones((1, *shape), "float32"), training=True)
    return model


def test_blocks_and_schedule_cross():
    when = sparsity.PolynomialDecay(0.2, 0.75, 1, 9, power=2, frequency=2)
    theirs = wrapped(
        layers.Dense(8, name="d"), (8,), 8, pruning_schedule=when, block_size=(2, 4), block_pooling_type="MAX"
    )
    ours = assert_equal(theirs, np.random.default_rng(0).random((4, 8), "float32"))
    transform = ours.get_layer("d").transforms["kernel"]
    assert transform.block_size == (2, 4) and transform.block_pooling_type == "MAX"
    assert transform.schedule.get_config() == when.get_config()["config"]
    assert int(transform.step) == 8
    np.testing.assert_array_equal(transform.mask, np.asarray(theirs.layers[0].pruning_vars[0][1]) != 0)
    assert 0.3 < 1 - np.mean(transform.mask) < 0.8


def test_a_layer_that_was_pruned_by_no_one_stays_dense():
    theirs = wrapped(layers.Conv2D(4, 3, name="c"), (8, 8, 1), sparsity_m_by_n=(2, 4))
    assert isinstance(assert_equal(theirs, X[..., :1]).get_layer("c"), keras.layers.Conv2D)


def test_two_of_four_zeros_that_are_still_to_be_made_are_made():
    ours = from_tfmot(wrapped(layers.Dense(3, name="d"), (8,), 0, sparsity_m_by_n=(2, 4)))
    transform = ours.get_layer("d").transforms["kernel"]
    assert np.all(transform.mask) and transform.schedule.due(int(transform.step))
    assert np.mean(np.asarray(ours.get_layer("d").effective("kernel", training=True)) == 0) == 0.5


def test_embeddings_and_separable_layers_are_pruned_where_tfmot_prunes_them():
    when = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    ours = assert_equal(wrapped(layers.SeparableConv2D(4, 3, name="s"), (8, 8, 4), pruning_schedule=when))
    assert ours.get_layer("s").transforms.keys() == {"pointwise_kernel"}
    theirs = wrapped(layers.Embedding(6, 4, name="e"), (3,), pruning_schedule=when)
    assert assert_equal(theirs, np.array([[0, 3, 5]])).get_layer("e").transforms.keys() == {"embeddings"}


@pytest.mark.parametrize("per_channel", [False, True])
def test_centroids_are_the_entries_of_the_dictionary(per_channel):
    model = tf_keras.Sequential([layers.Conv2D(3, 3, input_shape=(8, 8, 4), name="c")])
    start = clustering.CentroidInitialization.LINEAR
    theirs = clustering.cluster_weights(model, 4, start, cluster_per_channel=per_channel)
    ours = assert_equal(theirs)
    dictionary = np.asarray(ours.get_layer("c").transforms["kernel"].dictionary)
    centroids = np.sort(np.asarray(theirs.layers[0].cluster_centroids["kernel"]))
    np.testing.assert_array_equal(dictionary.reshape(centroids.shape), centroids)
    assert dictionary.shape == ((1, 1, 1, 3, 4) if per_channel else (4,))


def test_recurrent_layers_are_tied():
    model = tf_keras.Sequential([layers.LSTM(4, input_shape=(5, 3), name="lstm"), layers.Dense(2, name="d")])
    theirs = clustering.cluster_weights(model, 4, clustering.CentroidInitialization.LINEAR)
    ours = assert_equal(theirs, np.random.default_rng(0).random((2, 5, 3), "float32"))
    tied = ours.get_layer("lstm").transforms
    assert tied.keys() == {"cell.kernel", "cell.recurrent_kernel"}


def test_clusters_are_preserved_while_quantising():
    from interop.zoo import preserving

    x = layers.Input((8, 8, 1))
    y = layers.Dense(10, name="d")(layers.Flatten(name="f")(layers.Conv2D(4, 3, name="c")(x)))
    start = clustering.CentroidInitialization.LINEAR
    model = clustering.strip_clustering(clustering.cluster_weights(tf_keras.Model(x, y), 8, start))
    theirs = preserving(model, "cluster", preserve_sparsity=False)
    ours = assert_equal(theirs, X[..., :1])
    kinds = [type(t).__name__ for t in members(ours.get_layer("d").transforms["kernel"])]
    assert kinds == ["LookUpTable", "MinMax"]
    assert len(np.unique(tfc.deployed(ours.get_layer("d"), "kernel")[0])) <= 8


def test_too_many_clusters_are_not_tied_and_that_is_said():
    model = tf_keras.Sequential([layers.Dense(40, input_shape=(40,), name="d")])
    theirs = clustering.cluster_weights(model, 300, clustering.CentroidInitialization.LINEAR)
    with pytest.warns(UserWarning, match="'d': a weight of 300 clusters is not tied"):
        ours = from_tfmot(theirs)
    np.testing.assert_allclose(ours(np.eye(40, dtype="float32")), theirs(np.eye(40)), atol=1e-6)


class FourBits(quantization.QuantizeConfig):
    def get_weights_and_quantizers(self, layer):
        arguments = {"num_bits": 4, "symmetric": True, "narrow_range": False, "per_axis": False}
        return [(layer.kernel, quantization.quantizers.LastValueQuantizer(**arguments))]

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer, quantize_activations):
        pass

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {}


def test_what_is_not_the_default_scheme_is_refused_by_name():
    mine = quantization.quantize_annotate_layer(layers.Dense(2, input_shape=(3,), name="mine"), FourBits())
    annotated = tf_keras.Sequential([mine, quantization.quantize_annotate_layer(layers.Dense(2, name="other"))])
    with pytest.raises(ValueError, match="quantize_apply first") as error:
        from_tfmot(annotated)
    assert str(error.value).count("QuantizeAnnotate)") == 2
    with quantization.quantize_scope({"FourBits": FourBits}):
        applied = quantization.quantize_apply(annotated)
    with pytest.raises(ValueError, match="quant_mine .*quantize_config=FourBits"):
        from_tfmot(applied)
