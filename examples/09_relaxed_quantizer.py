"""Two-bit weights, trained with noise on a soft grid, against the same two bits rounded to after training.

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
print(f"float               {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")

# 2. Two bits on all weights, eight on all maps: calibrated, this is quantisation after training.
rule = {"kernel": tfc.RelaxedQuantizer(bits=2), "output": tfc.RelaxedQuantizer(bits=8, hard=True)}
small = tfc.compress(model, {".*": rule})
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
print(f"rounded to 2 bits   {100 * small.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")

# 3. Training with noise, which gets colder: samples come nearer to the grid.
cooling = tfc.callbacks.Anneal("temperature", lambda step: max(0.5, 1 - step / 400))
small.fit(x, y, epochs=8, verbose=0, callbacks=[cooling])
print(f"trained with 2 bits {100 * small.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
for layer in (small.get_layer(name) for name in ("conv_1", "conv_2", "head")):
    ratio = np.array(layer.transforms["kernel"].ratio)
    print(f"{layer.name:8} noise is {ratio.min():.2f} to {ratio.max():.2f} of a step, at first 0.33")

# 4. Integers, and the proof.
print(tfc.report(small))
blob = tfe.convert(small)
verification = tfe.verify(blob, x_test[:16], keras_model=small)
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"on chip             {100 * np.mean(predictions == y_test):.2f} %   {len(blob):,} bytes")
verification.raise_if_different()
