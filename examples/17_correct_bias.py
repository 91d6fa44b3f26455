"""Takes out of the biases what rounding and pruning do to the means: no training, no labels, even without data.

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

# 1. A trained float network with batch norms: they know the mean of everything that they deliver.
inputs = hidden = keras.Input((8, 8, 1))
for k, layer in enumerate(
    [
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_0"),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="deep"),
        layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_1"),
        layers.Conv2D(48, 3, use_bias=False, name="conv_2"),
    ]
):
    hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.8, name=f"norm_{k}")(layer(hidden)))
model = keras.Model(inputs, layers.Dense(10, name="head")(layers.GlobalAveragePooling2D()(hidden)))
model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, y, batch_size=64, epochs=6, verbose=0)

# 2. Rounded to 4 bits with one step a layer, or 80 % of the inner weights gone, both at once and without training on.
rules = {
    "float": {},
    "4 bits": {".*": {"kernel": tfc.MinMax(4, axis=())}},
    "80 % zeros": {"conv_[12]|deep": {"kernel": tfc.MagnitudePruning(tfc.ConstantSparsity(0.8, end_step=0))}},
}

# 3. Biases as they are; corrected by the batch norms and the mean of the pixels; corrected by 256 images.
print(f"{'weights':12} {'biases':12} accuracy of the int8 file")
for name, rule in rules.items():
    small = tfc.compress(model, rule) if rule else model
    candidates = {"as they are": small}
    if rule:
        candidates["no data"] = tfc.edits.correct_bias(small, input_mean=x.mean())
        candidates["256 images"] = tfc.edits.correct_bias(small, x[:256])
    for way, candidate in candidates.items():
        blob = tfe.convert(candidate, representative_dataset=x[:256])
        accuracy = np.mean(tfe.Interpreter(model_content=blob).predict(x_test).argmax(-1) == y_test)
        print(f"{name:12} {way:12} {100 * accuracy:6.2f} %")
tfe.verify(blob, x_test[:8], keras_model=candidate).raise_if_different()

# 4. Where only the exporter rounds, it corrects on its own.
for way in (False, "analytic", "empirical"):
    blob = tfe.convert(model, representative_dataset=x[:256], weight_bits=3, bias_correction=way)
    accuracy = np.mean(tfe.Interpreter(model_content=blob).predict(x_test).argmax(-1) == y_test)
    print(f"convert(weight_bits=3, bias_correction={way!r}): {100 * accuracy:.2f} %")
