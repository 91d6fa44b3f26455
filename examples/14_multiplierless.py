"""A network without a single multiplication: powers of two for weights, steps and batch norms, proven from the file.

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


# 1. A network with batch norms, trained as usual.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1), name="image"),
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1"),
        layers.BatchNormalization(momentum=0.9, name="norm_1"),
        layers.ReLU(),
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_2"),
        layers.BatchNormalization(momentum=0.9, name="norm_2"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ]
)
print(f"float                       {100 * fit(model, 6, 3e-3):.2f} %")

# 2. Batch norms that shift. What is left of each factor goes into the kernel in front, so nothing changes yet.
shifting = tfc.edits.multiplierless(model)
change = np.abs(shifting.predict(x_test, verbose=0) - model.predict(x_test, verbose=0)).max()
print("factors of norm_1:", shifting.get_layer("norm_1").factor)
print(f"largest change of an output: {change:.1e}")

# 3. Powers of two for all weights (LUT-Q) and for the steps of all maps.
powers = {"kernel": tfc.LookUpTable(16, values="power_of_two"), "output": tfc.LSQ(bits=8, power_of_two=True)}
small, control = (tfc.compress(network, {".*": powers}) for network in (shifting, model))
for network in (small, control):
    tfc.calibrate(network, x[:256])
print(f"powers of two, not trained  {100 * np.mean(small.predict(x_test, verbose=0).argmax(axis=-1) == y_test):.2f} %")
print(f"powers of two, trained      {100 * fit(small, 4, 1e-3):.2f} %")

# 4. The proof is read from the bytes: multipliers of 2**30 and codes 0, 1, 2, 4 ... 64.
blob = tfe.convert(small)
tfe.verify(blob, x_test[:16], keras_model=small).raise_if_different()
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"on chip                     {100 * np.mean(predictions == y_test):.2f} %")
print(tfe.receipt(blob, keras_model=small))
for name, file in (("multiplier-less", blob), ("plain batch norm", tfe.convert(control))):
    receipt = tfe.receipt(file)
    print(f"{name}: {'only shifts' if receipt.shift_only else 'multiplies'}")
    for record in receipt.operations:
        print(f"  {record['op']:16} {record['layer']:16} {'shifts' if record['shift_only'] else record['multiplies']}")
