"""Lets a network decide by itself which weights it needs and how many bits each layer gets, at given prices.

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
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
model.fit(x, y, epochs=6, verbose=0)
print(f"float   {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")

# 2. Three prices, in units of the loss: of a weight that is kept, of a bit more on a weight, of a bit more on a value
#    of a feature map. Widths and masks are chosen until `snap_step`; the last quarter is for the weights to settle.
epochs = 8
snap = epochs * -(-len(x) // 32) * 3 // 4
weights = tfc.JointPruneQuantize(snap, kept_penalty=1e-4, bit_penalty=1e-5)
maps = tfc.JointPruneQuantize(snap, bits=(4, 6, 8), bit_penalty=1e-5)
small = tfc.compress(model, {".*": {"kernel": weights, "output": maps}})
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
small.fit(x, y, epochs=epochs, verbose=2)

# 3. What each layer chose, and the integers.
print(tfc.report(small))
blob = tfe.convert(small)
verification = tfe.verify(blob, x_test[:16], keras_model=small)
print(tfe.receipt(blob, keras_model=small))
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"on chip {100 * np.mean(predictions == y_test):.2f} %   {len(blob):,} bytes")
verification.raise_if_different()
