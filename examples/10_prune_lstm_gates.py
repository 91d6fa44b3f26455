"""Prunes the gates of an LSTM that reads images row by row, leaves its candidate alone, and exports one fused op.

Data: the handwritten digits that ship with scikit-learn, as sequences of 8 rows of 8 pixels.
"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc
import tflite_export as tfe

keras.utils.set_random_seed(0)
pixels, labels = load_digits(return_X_y=True)
rows = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)
x, y, x_test, y_test = rows[:1347], labels[:1347], rows[1347:], labels[1347:]

# 1. An LSTM, trained until its gates mean something.
model = keras.Sequential([keras.Input((8, 8)), layers.LSTM(48, name="lstm"), layers.Dense(10, name="head")])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
model.fit(x, y, batch_size=64, epochs=12, verbose=2)

# 2. Weights of i, f and o below one standard deviation of their gate go; `kernel` means both kernels of the LSTM.
#    The deviations are those of both kernels together, so that one threshold serves them.
deviations = tfc.gate_deviations(model)
pruning = tfc.GatePruning(quality={"i": 1.0, "f": 1.0, "o": 1.0}, deviations=deviations)
small = tfc.compress(model, {"lstm": {"kernel": pruning}})
small.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
small.fit(x, y, batch_size=64, epochs=6, verbose=2)
print(tfc.report(small))

# 3. One UNIDIRECTIONAL_SEQUENCE_LSTM with a matrix for each gate, in which the zeros can be counted.
blob = tfe.convert(small, representative_dataset=x[:256])
verification = tfe.verify(blob, x_test[:16], keras_model=small)
print(verification)
print(tfe.receipt(blob, keras_model=small))
print(tfe.npu.estimate(blob, machine="ethos-u55-128-like"))

# 4. Each sample of `predict` is a sequence of its own; `invoke` goes on with the state, as LiteRT does, until a reset.
predictions = tfe.Interpreter(model_content=blob).predict(x_test).argmax(axis=-1)
print(f"dense     {100 * model.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"pruned    {100 * small.evaluate(x_test, y_test, verbose=0)[1]:.2f} %")
print(f"on chip   {100 * np.mean(predictions == y_test):.2f} %   {len(blob):,} bytes")
verification.raise_if_different()
