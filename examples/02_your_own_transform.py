"""Writes a new technique, ternary weights, in one class, and takes it through every law and into a flatbuffer.

Each weight becomes -s, 0 or +s with one s per output channel, the mean magnitude of the weights that are not zeroed
(after Li, Zhang and Liu, "Ternary Weight Networks", 2016, arXiv:1605.04711).
"""

import keras
import numpy as np
from keras import layers, ops

import tfcompress as tfc
import tflite_export as tfe


def ternary(weight, axes):
    """(codes in {-1, 0, 1}, scale): threshold at 0.7 of the mean magnitude of the channel."""
    magnitude = ops.abs(weight)
    codes = ops.sign(weight) * ops.cast(magnitude > 0.7 * ops.mean(magnitude, axes, keepdims=True), "float32")
    kept = ops.maximum(ops.sum(ops.abs(codes), axes, keepdims=True), 1.0)
    scale = ops.sum(magnitude * ops.abs(codes), axes, keepdims=True) / kept
    return codes, ops.maximum(scale, 1e-6)  # a channel of zeros needs a scale, too: `check_transform` asked for it


@keras.saving.register_keras_serializable("my_project")
class Ternary(tfc.Transform):
    """Ternary weights with straight-through gradients."""

    def call(self, x, training=None):
        """-s, 0 or +s."""
        codes, scale = ternary(x, tuple(range(len(x.shape) - 1)))
        return tfc.gradients.straight_through(codes * scale, x)

    def grid(self, x):
        """Two bits; the scale of each output channel."""
        _, scale = ternary(x, tuple(range(len(x.shape) - 1)))
        return tfc.Grid(scale=ops.convert_to_numpy(scale), bits=2, narrow_range=True)


tfc.testing.check_transform(Ternary, shape=(3, 3, 4, 8))

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((256, 12, 12, 3), np.float32)
y = (x.mean(axis=(1, 2, 3)) > 0.5).astype("int32")
model = keras.Sequential(
    [keras.Input((12, 12, 3)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
)
small = tfc.compress(model, {".*": {"kernel": Ternary(), "output": tfc.LSQ(bits=8)}})
tfc.calibrate(small, x)
small.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
small.fit(x, y, epochs=2, verbose=2)

blob = tfe.convert(small)
print(tfe.receipt(blob, keras_model=small))
tfe.verify(blob, x[:4], keras_model=small).raise_if_different()
