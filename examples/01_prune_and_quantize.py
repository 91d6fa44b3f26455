"""Prunes 70 % of a small network's weights, quantises the rest to 4 bits, and exports integers that are proven.

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

# 1. Any Sequential or Functional Keras model, trained as usual.
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

# 2. Rules: regular expression on the layer's name -> what happens to its weights and to its output.
steps = 6 * -(-len(x) // 32)
pruning = tfc.MagnitudePruning(tfc.PolynomialDecay(0.0, 0.7, begin_step=0, end_step=steps // 2))
small = tfc.compress(
    model,
    {
        ".*": {"kernel": tfc.Chain([pruning, tfc.LSQ(bits=4)]), "output": tfc.LSQ(bits=8)},
        "head": {"kernel": tfc.LSQ(bits=8)},  # a later rule wins
    },
)
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
small.fit(x, y, epochs=6, verbose=2)
print(tfc.report(small))

# 3. Integers, and the proof: LiteRT's reference kernels, tensor by tensor, and Keras, layer by layer.
blob = tfe.convert(small)
verification = tfe.verify(blob, x_test[:16], keras_model=small)
print(verification)
print(tfe.receipt(blob, keras_model=small))

# 4. What the chip will say, and what it will cost.
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(tfe.npu.estimate(blob, machine="ethos-u55-128-like"))
print(f"float     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"on chip   {100 * np.mean(predictions == y_test):.2f} %   {len(blob):,} bytes")
verification.raise_if_different()
