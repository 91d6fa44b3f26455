"""Generates a convolution of fewer multiplications, trains through it, and runs the int8 file by it, bit for bit.

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

# 1. Any number of outputs, any length of kernel, any points; in exact rational numbers.
algorithm = tfc.toom_cook.generate(2, 3, points=[0, 1, -1])
for name in ("outputs", "kernel", "inputs"):
    rows = [" ".join(f"{number!s:>4}" for number in row) for row in getattr(algorithm, name)]
    print(f"{name:8}", "\n         ".join(rows))
line, directly = algorithm([3, 1, 4, 1], [5, 9, 2]), [3 * 5 + 1 * 9 + 4 * 2, 1 * 5 + 4 * 9 + 1 * 2]
print("two outputs of a line, by 4 multiplications:", *line, "  by 6:", *directly)

# 2. What larger tiles save, and what they cost on integers.
print("tile    multiplications   bits of weights, inputs   channels in 32 bits")
for m in (2, 3, 4, 6):
    w = tfc.toom_cook.widths(tfc.toom_cook.generate(m, 3))
    print(
        f"{m} x {m}   {w.multiplications:3} for {w.direct:3}               {w.weight_bits:2}, {w.input_bits:2}"
        f"            {w.channels:6,}"
    )

# 3. A network that trains through the transforms.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        tfc.layers.WinogradConv2D(16, 3, tile=4, padding="same", activation="relu", name="conv_1"),
        tfc.layers.WinogradConv2D(24, 3, tile=4, padding="same", activation="relu", name="conv_2"),
        layers.MaxPooling2D(name="pool"),
        layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_3"),
        layers.Flatten(name="flat"),
        layers.Dense(10, name="head"),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], jit_compile=False)
model.fit(x, y, batch_size=64, epochs=4, verbose=0)
print(f"float   {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")

# 4. The file holds plain convolutions. The interpreter computes them either way, to the same bits.
blob = tfe.convert(model, representative_dataset=x[:256])
tfe.verify(blob, x_test[:8], keras_model=model).raise_if_different()
directly = tfe.Interpreter(model_content=blob).predict(x_test)
print(f"on chip {100 * np.mean(directly.argmax(-1) == y_test):.2f} %")
for m in (2, 4):
    run = tfe.Interpreter(model_content=blob, convolution=tfc.toom_cook.Tiles(m))
    print(f"tiles of {m} x {m}: {np.sum(run.predict(x_test) != directly)} of {directly.size:,} outputs differ")
    for made in run.convolutions:
        saved = f"{made.direct:7,} -> {made.generated:7,} multiplications, {made.accumulator_bits}-bit accumulator"
        print(f"  {made.tensor.split('/')[0]:8} {saved}")
