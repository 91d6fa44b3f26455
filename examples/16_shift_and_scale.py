"""Scales and shifts the channels of feature maps until all of them use the few codes that there are.

Data: the handwritten digits that ship with scikit-learn.
"""

import warnings

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

# 1. A float network. Its channels reach as far as training happened to make them reach; here, that of some is tiny.
inputs = hidden = keras.Input((8, 8, 1))
for k, filters in enumerate((16, 24), 1):
    hidden = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{k}")(hidden)
    hidden = layers.ReLU(name=f"relu_{k}")(layers.BatchNormalization(momentum=0.9, name=f"norm_{k}")(hidden))
hidden = layers.Conv2D(24, 3, strides=2, activation="relu", name="conv_3")(hidden)
model = keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(hidden)))
reach = 2.0 ** -np.random.default_rng(0).integers(0, 6, 16)
model.get_layer("norm_1").gamma.assign(reach)
model.get_layer("conv_2").kernel.assign(model.get_layer("conv_2").kernel / reach[:, None])
model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, y, batch_size=64, epochs=8, verbose=0)

# 2. The same function, whose channels fill the range of their feature map. What cannot be done is said in a warning.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    full = tfc.edits.shift_and_scale(model, x)
print(*[warning.message for warning in caught])
expected = model.predict(x_test, verbose=0)
print(f"largest difference of an output: {np.abs(full.predict(x_test, verbose=0) - expected).max():.1e}")

# 3. One step for each feature map, 8 bits or 4: what is lost, and how much of a map's range its channels use.
print(f"\n{'feature maps':13} {'network':8} accuracy   squared error")
for bits in (8, 4):
    for name, network in (("plain", model), ("full", full)):
        rules = {".*": {"output": tfc.MinMax(bits)}, "input.*|head": {"output": tfc.MinMax(8)}}
        small = tfc.compress(network, rules)
        tfc.calibrate(small, x[:512])
        blob = tfe.convert(small, inference_output_type="float32")
        delivered = tfe.Interpreter(model_content=blob).predict(x_test)
        accuracy = np.mean(delivered.argmax(-1) == y_test)
        print(f"{bits} bits{'':7} {name:8} {100 * accuracy:6.2f} %   {np.mean((delivered - expected) ** 2):.4f}")
tfe.verify(blob, x_test[:8], keras_model=small).raise_if_different()
