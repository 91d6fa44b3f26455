import keras
import numpy as np
import pytest

from interop.zoo import tf_keras
from tfcompress.interop.tfmot import from_tfmot

layers = tf_keras.layers
RNG = np.random.default_rng(0)


def test_branches_shared_layers_and_nested_models_are_played_again():
    inner = tf_keras.Sequential([layers.Input((4,)), layers.Dense(4, name="dense"), layers.ReLU()], name="block")
    left, right = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    shared = layers.Dense(4, name="shared")
    both = layers.Add(name="add")([inner(shared(left)), inner(shared(right))])
    lstm, *states = layers.LSTM(3, return_state=True, name="lstm")(layers.Reshape((2, 2))(both))
    theirs = tf_keras.Model({"left": left, "right": right}, {"sum": both, "last": lstm, "state": states[1]})
    ours = from_tfmot(theirs)
    x = {"left": RNG.random((3, 4), "float32"), "right": RNG.random((3, 4), "float32")}
    wanted, found = theirs(x), ours(x)
    assert set(found) == {"sum", "last", "state"}
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)
    assert isinstance(ours.get_layer("block"), keras.Sequential)
    assert {"shared", "add", "lstm", "left", "right"} <= {layer.name for layer in ours.layers}
    assert len(ours.get_layer("shared")._inbound_nodes) == 2


def test_names_of_model_and_input_are_kept():
    ours = from_tfmot(tf_keras.Sequential([layers.Input((4,), name="features"), layers.Dense(2, name="d")], name="m"))
    assert (ours.name, ours.inputs[0].name) == ("m", "features")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (tf_keras.Sequential([layers.Dense(2)]), "seen its input shape"),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), "Keras 3 models need no bridge"),
        (layers.Dense(2), "must be a Sequential or Functional model of tf_keras"),
        (3, "Received: builtins.int"),
    ],
)
def test_what_is_no_model_with_a_graph_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        from_tfmot(model)


def test_a_subclassed_model_is_refused():
    class Mine(tf_keras.Model):
        def call(self, x):
            return x

    model = Mine(name="mine")
    model(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="Mine"):
        from_tfmot(model)
