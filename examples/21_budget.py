"""Gives a network a budget of bit operations, and lets training spend it: bits here, channels there.

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
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], steps_per_execution=2)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model.evaluate(x_test, y_test, verbose=0)[1]


# 1. A float network. In bit operations a multiplication of two floats is 32 x 32.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1"),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(name="relu_1"),
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_2"),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(name="relu_2"),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ]
)
float_accuracy = fit(model, 6, 3e-3)
limit = 0.006 * tfc.costs.bops(model)

# 2. Every kernel and every feature map learns its width, and a gate behind each group which channels are needed.
bits = tfc.DifferentiableBits()
small = tfc.compress(model, {".*": {"kernel": bits, "output": bits}})
tfc.calibrate(small, x[:256])
small = tfc.edits.insert_bottlenecks(small, kl=0.0, seed=0, speed=60.0)

# 3. The budget sets their prices, fixes what was learned at 70 % of the training, and leaves the rest to the weights.
budget = tfc.callbacks.Budget(limit)
fit(small, 12, 2e-3, [budget])
for row in budget.rows[::6] + budget.rows[-1:]:
    print(f"step {row['step']:4}: {row['cost'] / limit:5.2f} times the budget, pressure {row['pressure']:.2f}")

# 4. Channels that are closed go. The file holds widths and shapes that training chose.
small = tfc.edits.remove_channels(small)
small_accuracy = fit(small, 2, 5e-4)
blob = tfe.convert(small, representative_dataset=x[:256])
tfe.verify(blob, x_test[:8], keras_model=small).raise_if_different()
print(tfe.receipt(blob, keras_model=small))
print(f"float: {100 * float_accuracy:.2f} %, {tfc.costs.bops(model):,.0f} bit operations")
print(f"small: {100 * small_accuracy:.2f} %, {tfc.costs.bops(small):,.0f}, of at most {limit:,.0f}")
