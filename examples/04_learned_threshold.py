"""Learns how many weights each layer needs, follows the zeros over the epochs, and picks one model from the trail.

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
model.fit(x, y, epochs=6, verbose=2)

# 1. A price for every weight that is kept, instead of a number of zeros. A weight stays if the loss would rise by more
#    without it, so the price of a loss of 1 for 10,000 weights is 1e-4. Try powers of ten; 1e-5 is the default.
small = tfc.compress(
    model,
    {
        ".*": {"kernel": tfc.Chain([tfc.LearnedThreshold(penalty=1e-4), tfc.LSQ(bits=8)]), "output": tfc.LSQ(bits=8)},
        "conv_1": {"kernel": tfc.Chain([tfc.LearnedThreshold(penalty=1e-4, preference=0.3), tfc.LSQ(bits=8)])},
    },
)
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])

# 2. Zeros grow from epoch to epoch. `Trail` keeps every model; `WarnStall` tells when a threshold cannot move any more.
trail = tfc.callbacks.Trail("trail")
watch = tfc.callbacks.WarnStall(target=0.5)
small.fit(x, y, epochs=12, validation_data=(x_test, y_test), verbose=0, callbacks=[trail, watch])
for row in trail.rows:
    zeros = "  ".join(f"{name} {share:5.1%}" for name, share in row["layers"].items())
    print(f"epoch {row['epoch'] + 1:2d}: {row['sparsity']:.1%} zeros ({zeros})", end="  ")
    print(f"accuracy {row['metrics']['val_accuracy']:.2%}")

# 3. The best model with at least 70 % zeros goes to the chip.
row = trail.best(sparsity=0.7)
picked = keras.models.load_model(row["file"])
print(f"picked epoch {row['epoch'] + 1}")
print(tfc.report(picked))
blob = tfe.convert(picked, x[:256])
print(tfe.receipt(blob, keras_model=picked))
tfe.verify(blob, x_test[:16], keras_model=picked).raise_if_different()
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"float     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"on chip   {100 * np.mean(predictions == y_test):.2f} %")
