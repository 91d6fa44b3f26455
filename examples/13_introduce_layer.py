"""Cheaper layers in the place of trained ones, started from least squares instead of chance.

Data: the handwritten digits that ship with scikit-learn. The new layers are found without labels.
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


def fit(model, epochs):
    """Trains a model."""
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def row(name, model):
    """Prints accuracy, multiplications and bytes of the exported file."""
    blob = tfe.convert(model, representative_dataset=x[:256])
    tfe.verify(blob, x_test[:8], keras_model=model).raise_if_different()
    right = np.mean(tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1) == y_test)
    macs = tfe.npu.estimate(blob, machine="ethos-u55-128-like").totals["macs"]
    print(f"{name:34} {100 * right:6.2f} %  {macs:9,.0f} MACs  {len(blob):7,} bytes")


# 1. A network of plain convolutions.
stack = [keras.Input((8, 8, 1))]
for k, (filters, strides) in enumerate([(16, 1), (32, 2), (32, 1)], 1):
    stack.append(layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False, name=f"conv_{k}"))
    stack += [layers.BatchNormalization(momentum=0.9, name=f"norm_{k}"), layers.ReLU(name=f"relu_{k}")]
base = fit(keras.Sequential([*stack, layers.Flatten(name="flat"), layers.Dense(10, name="head")]), 8)
row("base", base)

# 2. Separable convolutions take the place of two of them, front to back: the second makes up for errors of the first.
small = base
for k, strides in ((2, 2), (3, 1)):
    new = [
        layers.SeparableConv2D(32, 3, strides=strides, padding="same", use_bias=False, name=f"separable_{k}"),
        layers.BatchNormalization(momentum=0.9, name=f"separable_{k}_norm"),
        layers.ReLU(name=f"separable_{k}_relu"),
    ]
    small = tfc.edits.introduce_layer(small, new, x, at=(f"conv_{k}", f"relu_{k}"), base=base)
row("separable, least squares", small)

# 3. The same network, its new layers started by chance, for comparison.
control = keras.models.clone_model(small)
for layer in small.layers:
    if not layer.name.startswith("separable"):
        control.get_layer(layer.name).set_weights(layer.get_weights())
row("separable, chance", control)
row("separable, least squares, 2 epochs", fit(small, 2))
row("separable, chance, 2 epochs", fit(control, 2))

# 4. Half of the last channels, chosen so that the head misses them least. Then one layer more, which does nothing yet.
narrow = tfc.edits.introduce_layer(small, 16, x, at="separable_3", mode="narrow")
row("and 16 channels, not trained", narrow)
deeper = tfc.edits.introduce_layer(
    narrow, layers.Dense(16, activation="relu", name="more"), x, at="separable_3_relu", mode="insert"
)
print(f"an inserted layer changes outputs by {np.abs(deeper(x_test) - narrow(x_test)).max():.1e}")
row("and one layer more, 2 epochs", fit(deeper, 2))
