"""A small network learns from what a large one says: no labels, one byte for each image.

Data: the handwritten digits that ship with scikit-learn. Labels are only used to train the large network.
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
loss = keras.losses.CategoricalCrossentropy(from_logits=True)


def accuracy(logits):
    """Share of the test images that are recognised, in percent."""
    return 100 * float(np.mean(np.argmax(logits, axis=-1) == y_test))


# 1. The base network, trained on labels.
base = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(32, 3, padding="same", use_bias=False, name="conv_1"),
        layers.BatchNormalization(momentum=0.9, name="norm_1"),
        layers.ReLU(name="relu_1"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="conv_2"),
        layers.Flatten(name="flat"),
        layers.Dense(10, name="head"),
    ]
)
base.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
base.fit(x, y, batch_size=64, epochs=8, verbose=0)
print(f"base                            {accuracy(base.predict(x_test, verbose=0)):5.2f} %")

# 2. The derived network starts from the base's own weights: half of the channels, and 4-bit kernels.
small = tfc.edits.introduce_layer(base, 16, x, at="conv_1", mode="narrow")
small = tfc.edits.introduce_layer(small, 16, x, at="conv_2", mode="narrow", base=base)
student = tfc.compress(small, {".*": {"kernel": tfc.LSQ(bits=4), "output": tfc.LSQ(bits=8)}})
tfc.calibrate(student, x[:256])
print(f"student before training         {accuracy(student.predict(x_test, verbose=0)):5.2f} %")

# 3. The base answers once for all images; what it says is kept as one byte each. Nobody asks for a label.
targets = tfc.quantized_targets(base, x)
print(f"targets of {len(x)} images take {targets.nbytes} bytes")
student.compile(keras.optimizers.Adam(1e-3), loss)
student.fit(targets.attach(x, batch_size=64, shuffle=True, seed=0), epochs=4, verbose=0)
print(f"student of kept targets         {accuracy(student.predict(x_test, verbose=0)):5.2f} %")

# 4. Where images are augmented anew each time, the base answers each time, with more than the winner if we like.
derived = tfc.DerivedModel(base, student, tfc.targets.Uniform(bits=4, from_logits=True))
derived.compile(keras.optimizers.Adam(5e-4), loss, metrics=["accuracy"])
noise = np.random.default_rng(0).normal(scale=0.05, size=x.shape).astype(np.float32)
derived.fit(x + noise, batch_size=64, epochs=3, verbose=0)
print(f"student of answers on the fly   {accuracy(derived.predict(x_test, verbose=0)):5.2f} %")
print(f"agreement with the base         {100 * derived.evaluate(x_test, verbose=0)[1]:5.2f} %")

# 5. Only the student goes into the file.
blob = tfe.convert(derived.student, representative_dataset=x[:256])
tfe.verify(blob, x_test[:16], keras_model=derived.student).raise_if_different()
full = tfe.convert(base, representative_dataset=x[:256])
print(f"file                            {len(blob):,} bytes, of the base {len(full):,}")
print(f"on chip                         {accuracy(tfe.Interpreter(model_content=blob).predict(x_test)):5.2f} %")
