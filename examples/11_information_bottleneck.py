"""Finds out while training how many channels a network needs, and takes the others out.

Data: the handwritten digits that ship with scikit-learn.
"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

keras.utils.set_random_seed(0)
pixels, labels = load_digits(return_X_y=True)
images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
x, y, x_test, y_test = images[:1347], labels[:1347], images[1347:], labels[1347:]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model, epochs, rate, callbacks=()):
    """Trains a model and returns its accuracy on the test images."""
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model.evaluate(x_test, y_test, verbose=0)[1]


# 1. A network that is wider than it needs to be.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1"),
        layers.BatchNormalization(),
        layers.ReLU(name="relu_1"),
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_2"),
        layers.BatchNormalization(),
        layers.ReLU(name="relu_2"),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ]
)

# 2. A gate behind every group that can lose channels. Its price rises from 0 in the first fifth of training.
gated = tfc.edits.insert_bottlenecks(model, seed=0)
steps = 14 * -(-len(x) // 64)
warm_up = tfc.callbacks.Anneal("kl", lambda step: 5e-3 * min(1.0, 5 * step / steps))
accuracy = fit(gated, 14, 3e-3, [warm_up])
for name in ("relu_1_bottleneck", "relu_2_bottleneck"):
    gate = gated.get_layer(name)
    print(f"{name}: {gate.keep.sum()} of {gate.keep.size} channels hold more signal than noise")

# 3. The others go, and the gates with them: the same network, but smaller. Then it trains on without noise.
small = tfc.edits.remove_channels(gated)
difference = np.abs(small.predict(x_test, verbose=0) - gated.predict(x_test, verbose=0)).max()
print(f"largest difference of an output: {difference:.1e}")
small_accuracy = fit(small, 4, 1e-3)

# 4. The file shrinks along.
plain_accuracy = fit(model, 10, 3e-3)
print(f"{'':8} accuracy   parameters   file bytes      cycles")
for name, network, score in (("plain", model, plain_accuracy), ("small", small, small_accuracy)):
    blob = tfe.convert(network, representative_dataset=x[:256])
    tfe.verify(blob, x_test[:8], keras_model=network).raise_if_different()
    cycles = tfe.npu.estimate(blob, machine="ethos-u55-128-like").totals["cycles_total"]
    print(f"{name:8} {100 * score:6.2f} %   {network.count_params():10,}   {len(blob):10,}  {cycles:10,.0f}")
