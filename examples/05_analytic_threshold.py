"""Learns the band of weights that become zero, and how sharp its edges are; sharp edges late, then a frozen mask.

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

# 1. For 60 % of the steps the edges are soft, and weights find their side; then sharpness is paid for, so that training
#    sees what will be deployed; the last 10 % train the weights that are left behind a mask that stays.
epochs = 12
steps = epochs * -(-len(x) // 32)
sharpening = tfc.schedules.Ramp(begin_step=int(0.6 * steps), end_step=int(0.8 * steps))
threshold = tfc.AnalyticThreshold(penalty=1e-5, sharpening=sharpening, freeze_step=int(0.9 * steps))
small = tfc.compress(model, {".*": {"kernel": threshold, "output": tfc.LSQ(bits=8)}})
tfc.calibrate(small, x[:256])
small.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
small.fit(x, y, epochs=epochs, verbose=2)

# 2. What each layer learned.
for layer in small.layers:
    if isinstance(layer, tfc.Compressed):
        learned, weight = layer.transforms["kernel"], layer.layer.kernel
        zeros = np.mean(np.array(layer.effective("kernel")) == 0)
        print(
            f"{layer.name}: zero below {float(learned.alpha(weight)):.4f}, sharpness {float(learned.beta):,.0f}, "
            f"{zeros:.1%} zeros, {float(learned.transition(weight)):.2%} of the weights in transition"
        )

# 3. The zeros are those of the int8 buffers.
blob = tfe.convert(small, x[:256])
print(tfe.receipt(blob, keras_model=small))
tfe.verify(blob, x_test[:16], keras_model=small).raise_if_different()
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"float     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"on chip   {100 * np.mean(predictions == y_test):.2f} %")
