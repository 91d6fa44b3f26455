"""Trains in batches of two, where batch normalisation fails, and ships a network without any normalisation.

Data: the handwritten digits that ship with scikit-learn.
"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

pixels, labels = load_digits(return_X_y=True)
images = (pixels.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
x, y, x_test, y_test = images[:1344], labels[:1344], images[1344:], labels[1344:]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


# 1. Seven convolutions, down to a single pixel, with something or nothing between convolution and ReLU.
SIZES = [(16, 1), (16, 2), (16, 1), (32, 2), (32, 1), (32, 2), (32, 1)]


def network(normalise):
    """The same weights whatever ``normalise`` puts in."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((8, 8, 1))]
    for k, (filters, stride) in enumerate(SIZES):
        start = keras.initializers.HeNormal(seed=k)
        stack.append(layers.Conv2D(filters, 3, stride, padding="same", kernel_initializer=start, name=f"conv_{k}"))
        stack += [*normalise(f"normal_{k}"), layers.ReLU(name=f"relu_{k}")]
    return keras.Sequential([*stack, layers.Flatten(name="flat"), layers.Dense(10, name="head")], name="digits")


choices = {
    "nothing": lambda name: [],
    "BatchNormalization": lambda name: [layers.BatchNormalization(name=name)],
    "LagrangeNormalization": lambda name: [tfc.layers.LagrangeNormalization(initial=0.1, name=name)],
}

# 2. The same training for all: two images at a time.
models = {}
for kind, normalise in choices.items():
    models[kind] = model = network(normalise)
    optimizer = keras.optimizers.SGD(0.01, global_clipnorm=5)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=96, jit_compile=False)
    model.fit(x, y, batch_size=2, epochs=2, verbose=0)
    print(f"{kind:22} {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.1f} % of the test images")

# 3. What the multipliers have reached: feature maps of new images with mean 0 and variance 1.
model = models["LagrangeNormalization"]
names = [f"normal_{k}" for k in range(7)]
inside = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])
for name, values in zip(names, inside.predict(x_test, verbose=0)):
    multiplier = float(model.get_layer(name).variance_multiplier)
    print(f"{name}  mean {values.mean():5.2f}   variance {values.var():4.2f}   multiplier {multiplier:.2f}")

# 4. The file has no trace of it: the same operations and bytes as the network without.
plain = network(choices["nothing"])
plain.set_weights([w.numpy() for w in model.weights if "multiplier" not in w.path])
blob, without = (tfe.convert(m, representative_dataset=x[:128]) for m in (model, plain))
run, control = (tfe.Interpreter(model_content=b).predict(x_test) for b in (blob, without))
print(f"{len(blob):,} bytes, without the layers {len(without):,}; outputs equal: {np.array_equal(run, control)}")
tfe.verify(blob, x_test[:8], keras_model=model).raise_if_different()
print(f"on chip {100 * np.mean(run.argmax(-1) == y_test):.1f} %")
