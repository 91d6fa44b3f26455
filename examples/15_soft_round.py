"""Two-bit weights by a soft staircase that becomes steeper, against the same bits with LSQ.

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


def fit(model, epochs, rate):
    """Trains a model and returns its accuracy on the test images."""
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


# 1. A network, trained as usual.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="conv_2"),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ]
)
print(f"float            {100 * fit(model, 6, 3e-3):.2f} %")

# 2. The temperature falls by equal factors over the first 80 % of the steps; the rest of them rounds.
epochs = 5
steps = int(0.8 * epochs * -(-len(x) // 32))
cooling = tfc.schedules.Ramp(0, steps, final=0.05, initial=0.5, geometric=True)
print("temperature      " + ", ".join(f"{float(cooling(k)):.2f}" for k in range(0, steps + 1, steps // 4)))

# 3. Both ways from the same float network.
for name, transform in (("LSQ", tfc.LSQ(2)), ("SoftRound", tfc.SoftRound(2, cooling, hard_step=steps))):
    small = tfc.compress(model, {".*": {"kernel": transform, "output": tfc.LSQ(bits=8)}})
    tfc.calibrate(small, x[:256])
    print(f"{name:16} {100 * fit(small, epochs, 2e-3):.2f} %")

# 4. In training the staircase has slopes; what is evaluated, and what the file holds, has none.
weight, grid = tfc.deployed(small.get_layer("conv_2"), "kernel")
print("codes of conv_2:", np.unique(grid.encode(weight)))
blob = tfe.convert(small)
tfe.verify(blob, x_test[:16], keras_model=small).raise_if_different()
receipt = tfe.receipt(blob, keras_model=small)
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(receipt)
print(f"on chip          {100 * np.mean(predictions == y_test):.2f} %")
