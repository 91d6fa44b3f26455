"""Takes a small random amount off every weight in each step: those that the loss does not hold end at exactly zero.

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
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_2"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
model.fit(x, y, epochs=6, verbose=0)

# 2. No target and no threshold: the rate is the price that a weight must be worth. "normal" takes off as often as it
#    adds, which makes no zeros: the drift does it. The last fifth of the steps is for the weights that are left.
epochs, steps = 10, -(-len(x) // 32)
for distribution, rate in (("normal", 0.01), ("half_normal", 0.01)):
    technique = tfc.SignedPerturbation(
        rate, begin_step=epochs * steps // 10, end_step=epochs * steps * 8 // 10, distribution=distribution
    )
    small = tfc.compress(model, {".*": {"kernel": technique, "output": tfc.LSQ(bits=8)}})
    tfc.calibrate(small, x[:256])
    small.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    small.fit(x, y, epochs=epochs, verbose=0)
    zeros = [row["zeros"] for row in tfc.report(small).rows if row["transform"] == "SignedPerturbation"]
    accuracy = small.evaluate(x_test, y_test, verbose=0)[1]
    print(f"{distribution:11}  zeros of each layer", *(f"{z:4.0%}" for z in zeros), f"  {accuracy:.2%}")

# 3. Integers, and the proof: the zeros of the last one are zeros on the chip.
blob = tfe.convert(small)
tfe.verify(blob, x_test[:16], keras_model=small).raise_if_different()
print(tfe.receipt(blob, keras_model=small))
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"float     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"on chip   {100 * np.mean(predictions == y_test):.2f} %")
