import json

import keras
import numpy as np
from keras import layers

import tfcompress as tfc
from tfcompress.structure import slots
from tfcompress.structure.trace import trace


def compressed(toys):
    """A nested model with a shared layer, trained transforms on weights and outputs."""
    backbone = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization()], name="backbone"
    )
    inputs = keras.Input((6, 6, 3), name="image")
    dense = layers.Dense(4, name="dense")
    outputs = layers.LSTM(3, name="lstm")(dense(dense(layers.Reshape((16, 4), name="reshape")(backbone(inputs)))))
    rules = {
        ".*": {"kernel": toys.Rounding(5)},
        "dense": {"bias": toys.Threshold(), "kernel": tfc.Chain([toys.Threshold(), toys.Rounding(4)])},
    }
    small = tfc.compress(keras.Model(inputs, outputs), rules)
    for variable in small.trainable_variables:
        variable.assign_add(0.01 * toys.rng.normal(size=variable.shape))
    return small


def test_stripped_weights_are_those_that_inference_used_bit_for_bit(toys):
    small = compressed(toys)
    plain = tfc.strip(small)
    for scope in (lambda m: m, lambda m: m.get_layer("backbone")):
        for layer in scope(small).layers:
            twin = scope(plain).get_layer(layer.name)
            for slot in layer.transforms if isinstance(layer, tfc.Compressed) else ():
                used = np.array(layer.effective(slot, training=False))
                assert slots.numpy(slots.weight(twin, slot)).tobytes() == used.tobytes()
    x = toys.rng.normal(size=(4, 6, 6, 3))
    np.testing.assert_array_equal(small.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_nothing_of_tfcompress_is_left(toys, tmp_path):
    small = tfc.compress(compressed(toys), {".*": {"output": toys.Rounding(8)}})
    plain = tfc.strip(small)
    assert "Compressed" not in json.dumps(plain.to_json()) and "Rounding" not in json.dumps(plain.to_json())
    assert [layer.name for layer in plain.layers] == ["image", "backbone", "reshape", "dense", "lstm"]
    assert [call.path for call in trace(plain).calls].count("dense#1") == 1, "the shared layer is still shared"
    assert any(isinstance(layer, tfc.Compressed) for layer in small.layers), "the compressed model stays"


def test_output_transforms_stay_on_request(toys):
    small = tfc.compress(compressed(toys), {".*": {"output": toys.Rounding(8)}})
    x = toys.rng.normal(size=(4, 6, 6, 3))
    tfc.calibrate(small, x)
    kept = tfc.strip(small, keep_outputs=True)
    np.testing.assert_array_equal(small.predict(x, verbose=0), kept.predict(x, verbose=0))
    assert not np.array_equal(small.predict(x, verbose=0), tfc.strip(small).predict(x, verbose=0))


def test_plain_model_is_copied():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    twin = tfc.strip(model)
    assert twin is not model
    np.testing.assert_array_equal(model.get_weights()[0], twin.get_weights()[0])
