"""Lets a small network decide, input by input, which channels are worth computing.

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


def conv(x, filters, name):
    """A convolution with its batch norm."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(momentum=0.9)(x)


# 1. A residual network. The gates stand inside of the blocks, never behind a sum.
inputs = keras.Input((8, 8, 1))
stem = layers.ReLU(name="stem")(conv(inputs, 16, "conv_0"))
z = stem
for k in (1, 2):
    inside = layers.ReLU(name=f"inside_{k}")(conv(z, 32, f"conv_{k}a"))
    z = layers.ReLU(name=f"block_{k}")(layers.Add()([z, conv(inside, 16, f"conv_{k}b")]))
    z = layers.MaxPooling2D()(z)
model = keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(z)))

# 2. A gate behind the first convolution of each block; it looks at what goes into the block.
shaping = tfc.regularizers.BatchShaping()
gated = tfc.edits.insert_channel_gates(model, "conv_.a", units=8, regularizer=shaping, seed=0)

# 3. First the gates learn to depend on the input, then open channels get a price.
epochs, steps = 10, -(-len(x) // 64)
fade = tfc.schedules.Ramp(3 * steps, 7 * steps, final=0.0, initial=0.75)
price = tfc.schedules.Ramp(3 * steps, 7 * steps, final=0.5)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
gated.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
schedules = [tfc.callbacks.Anneal("shaping", fade), tfc.callbacks.Anneal("l0", price)]
gated.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=schedules)
print(f"accuracy {100 * gated.evaluate(x_test, y_test, verbose=0)[1]:.1f} %")
for name, rates in tfc.gate_rates(gated, x_test, y_test).items():
    print(f"{name}: channels open for {', '.join(f'{c}: {100 * r:.0f} %' for c, r in enumerate(rates.mean(axis=1)))}")

# 4. Gates that never change on the data need no decision: what is always off goes.
small = tfc.edits.remove_channels(tfc.edits.settle_gates(gated, x))
print(f"parameters: {gated.count_params():,}, without what is always off {small.count_params():,}")

# 5. In the file a gate is a mean, two dense layers and a product, which any runtime computes.
#    A run that leaves out what is multiplied by zero delivers the same bits, and counts.
blob = tfe.convert(small, representative_dataset=x[:256])
tfe.verify(blob, x_test[:8], keras_model=small).raise_if_different()
print(tfe.executed(blob, x_test[:50]))
