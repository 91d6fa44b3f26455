import numpy as np
import pytest

from interop.zoo import tf_keras
from tfcompress.interop.plain_layers import ACTIVATIONS, LAYERS
from tfcompress.interop.tfmot import from_tfmot

layers = tf_keras.layers

LINE, IMAGE, VOLUME = (6, 4), (6, 6, 4), (4, 4, 4, 2)
PAIR = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
ARGUMENTS = {
    "Activation": {"activation": "gelu"},
    "Bidirectional": {"layer": layers.GRU(3, return_sequences=True)},
    "Conv1D": {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
    "Conv1DTranspose": {"filters": 3, "kernel_size": 3, "strides": 2},
    "Conv2D": {"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2, "groups": 2, "activation": "selu"},
    "Conv2DTranspose": {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    "Conv3D": {"filters": 3, "kernel_size": 2},
    "Cropping2D": {"cropping": ((0, 1), (2, 1))},
    "Dense": {"units": 3, "kernel_regularizer": "l2", "kernel_constraint": "non_neg"},
    "DepthwiseConv1D": {"kernel_size": 3},
    "DepthwiseConv2D": {"kernel_size": 3, "depth_multiplier": 2, "activation": "relu"},
    "Dot": {"axes": -1},
    "Dropout": {"rate": 0.5},
    "ELU": {"alpha": 0.5},
    "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (6, 3), "bias_axes": "d"},
    "Embedding": {"input_dim": 9, "output_dim": 3},
    "GRU": {"units": 3, "return_sequences": True, "reset_after": True},
    "GroupNormalization": {"groups": 2},
    "LSTM": {"units": 3, "go_backwards": True},
    "LeakyReLU": {"alpha": 0.3},
    "Normalization": {"mean": [0.5, 0.1, 0.2, 0.3], "variance": [1.0, 2.0, 3.0, 4.0]},
    "PReLU": {"shared_axes": [1]},
    "Permute": {"dims": (2, 1)},
    "ReLU": {"max_value": 0.7, "negative_slope": 0.1, "threshold": 0.05},
    "RepeatVector": {"n": 3},
    "Rescaling": {"scale": 2.0, "offset": -1.0},
    "Reshape": {"target_shape": (4, 6)},
    "Resizing": {"height": 3, "width": 5},
    "SeparableConv1D": {"filters": 3, "kernel_size": 3},
    "SeparableConv2D": {"filters": 3, "kernel_size": 3, "padding": "same"},
    "SimpleRNN": {"units": 3},
    "Softmax": {"axis": 1},
    "TimeDistributed": {"layer": layers.Dense(3, activation="relu")},
    "UpSampling2D": {"size": (2, 3), "interpolation": "bilinear"},
    **{name: {"rate": 0.5} for name in LAYERS if "Dropout" in name},
    "GaussianNoise": {"stddev": 0.5},
}


def model_of(kind):
    shape = VOLUME if "3D" in kind else IMAGE if "2D" in kind or kind == "Resizing" else LINE
    shape = {"RepeatVector": (4,), "Embedding": (5,)}.get(kind, shape)
    x = layers.Input(shape)
    layer = getattr(layers, kind)(**ARGUMENTS.get(kind, {}), name="mine")
    y = layer([x, layers.ReLU(0.5)(x)] if kind in PAIR else x)
    layer.set_weights([np.random.default_rng(1).random(w.shape).astype(w.dtype) for w in layer.get_weights()])
    return tf_keras.Model(x, y)


@pytest.mark.parametrize("kind", LAYERS)
def test_layer_computes_the_same(kind):
    theirs = model_of(kind)
    ours = from_tfmot(theirs)
    x = np.random.default_rng(0).random((2, *theirs.input_shape[1:])).astype("float32") - 0.3
    x = np.abs(np.round(8 * x)) if kind == "Embedding" else x
    np.testing.assert_allclose(ours(x, training=False), theirs(x, training=False), atol=1e-5)
    assert type(ours.get_layer("mine")).__name__ == kind


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_computes_the_same(name):
    theirs = tf_keras.Sequential([layers.Input((8,)), layers.Activation(name)])
    x = np.linspace(-4, 4, 16, dtype="float32").reshape(2, 8)
    np.testing.assert_allclose(from_tfmot(theirs)(x), theirs(x), atol=1e-6)


def test_what_is_known_about_training_crosses():
    theirs = tf_keras.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(4, kernel_regularizer=tf_keras.regularizers.L1L2(0.1, 0.2), trainable=False, name="frozen"),
            layers.Dense(2, bias_constraint=tf_keras.constraints.MaxNorm(3), name="free"),
        ]
    )
    frozen, free = from_tfmot(theirs).layers
    assert not frozen.trainable and frozen.kernel_regularizer.get_config() == pytest.approx({"l1": 0.1, "l2": 0.2})
    assert free.trainable and free.bias_constraint.max_value == 3


class Mine(layers.Dense):
    pass


REFUSED = {
    "lambda": (lambda: layers.Lambda(lambda x: x), "Lambda"),
    "subclass": (lambda: Mine(3), "Mine"),
    "function": (lambda: layers.Dense(3, activation=lambda x: x), "<lambda>"),
    "other function": (lambda: layers.Dense(3, activation="hard_sigmoid"), "clip"),
    "other regularizer": (lambda: layers.Dense(3, kernel_regularizer=lambda w: 0.0), "kernel_regularizer=__lambda__"),
    "time first": (lambda: layers.LSTM(3, time_major=True), "time_major=True"),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.filterwarnings("ignore:The `keras.regularizers.serialize")
def test_every_layer_that_has_no_equal_is_named_at_once():
    made = [(name, *case) for name, case in REFUSED.items()]
    x = layers.Input((4, 4))
    outputs = []
    for name, make, _ in made:
        layer = make()
        layer._name = name.replace(" ", "_")
        outputs.append(layer(x))
    with pytest.raises(ValueError, match="must consist of layers that have an equal") as error:
        from_tfmot(tf_keras.Model(x, outputs))
    for name, _, reason in made:
        (line,) = [line for line in str(error.value).splitlines() if line.strip().startswith(name.replace(" ", "_"))]
        assert reason in line
