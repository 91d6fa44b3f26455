"""Ties a network's weights to sixteen powers of two and to four free values: shifts for products, 2-bit indices.

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

# 1. A Keras model, trained as usual.
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

# 2. Powers of two in the convolutions, four values of any size in the dense layer. The dictionaries are found by
#    k-means, here and then once in every training step.
rules = {
    ".*": {"output": tfc.LSQ(bits=8)},
    "conv_.*": {"kernel": tfc.LookUpTable(16, values="power_of_two")},
    "head": {"kernel": tfc.LookUpTable(4)},
}
small = tfc.compress(model, rules)
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(3e-4), loss, metrics=["accuracy"])
clustered = small.evaluate(x_test, y_test, verbose=0)[1]
small.fit(x, y, epochs=5, verbose=0)
print(tfc.report(small))
table = small.get_layer("head").transforms["kernel"]
print("dictionary of the dense layer:", np.round(keras.ops.convert_to_numpy(table.dictionary), 3))

# 3. In the file: the same few values, exactly, as 8-bit codes.
blob = tfe.convert(small)
print(tfe.receipt(blob, keras_model=small))
tfe.verify(blob, x_test[:16], keras_model=small).raise_if_different()
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"float                     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"clustered, not trained    {100 * clustered:.2f} %")
print(f"tied and trained, on chip {100 * np.mean(predictions == y_test):.2f} %")
