"""Balances the zeros of every layer, so that parallel hardware never waits for its slowest unit; 2:4 is a special case.

Data: the handwritten digits that ship with scikit-learn.
"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read

keras.utils.set_random_seed(0)
pixels, labels = load_digits(return_X_y=True)
images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
x, y, x_test, y_test = images[:1347], labels[:1347], images[1347:], labels[1347:]

# 1. A network, trained as usual.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="conv_2"),
        layers.Flatten(),
        layers.Dense(64, activation="relu", name="dense"),
        layers.Dense(10, name="head"),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
model.fit(x, y, epochs=5, verbose=0)

# 2. In conv_2, each output channel keeps the same number of weights: one that is computed by a unit of its own makes
#    no other wait. In the dense layer, two of each four neighbours stay. The masks are frozen after 70 % of the steps.
epochs, steps = 8, -(-len(x) // 32)
freeze = int(0.7 * epochs * steps)
rules = {
    "conv_2": {"kernel": tfc.BalancedPruning(0.75, freeze_step=freeze)},
    "dense": {"kernel": tfc.BalancedPruning(0.5, freeze_step=freeze, group=4)},
    ".*": {"output": tfc.LSQ(bits=8)},
}
small = tfc.compress(model, rules)
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])


def counts(name):
    """Weights of each group that reach the learned width: what training did, before any projection."""
    layer = small.get_layer(name)
    return layer.transforms["kernel"].counts(layer.layer.kernel)


print("kept in each output channel of conv_2, by one threshold:", *counts("conv_2"))
small.fit(x, y, epochs=epochs, verbose=0)

# 3. The price of unequal counts rose until they were equal, nearly: the projection had little left to do.
for name in ("conv_2", "dense"):
    transform = small.get_layer(name).transforms["kernel"]
    spread = np.sqrt(float(transform.variance)) * np.prod(transform.box)
    print(f"{name}: lambda {float(transform.multiplier):.1f}, counts differed by {spread:.2f} before the projection")

# 4. Integers, and the proof.
blob = tfe.convert(small)
tfe.verify(blob, x_test[:16], keras_model=small).raise_if_different()
stored = {tensor.name: tensor.data for tensor in read(blob).tensors}
print("kept in each output channel of conv_2, on chip:", *np.count_nonzero(stored["conv_2/kernel"], axis=(1, 2, 3)))
print(tfe.receipt(blob, keras_model=small))  # N:M of the dense layer is 2:4
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"float     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"on chip   {100 * np.mean(predictions == y_test):.2f} %")
