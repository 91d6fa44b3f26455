"""Trains for the clock of a machine: its cycles beside the accuracy in every epoch, and a limit that is kept.

Data: the handwritten digits that ship with scikit-learn.
"""

from pathlib import Path

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

# 1. The machine: cells of 2-bit bricks, which multiply 4 x 4 bits four times as fast as 8 x 8. What differs from one
#    that ships here (`tfcompress machines` lists them) is a file of a few lines.
Path("my_npu.toml").write_text(
    """
base = "bricks-16x16"
description = "the same with memory on the chip"

[memory]
dram_bytes_per_cycle = 64
dram_latency_cycles = 0
""",
    encoding="utf-8",
)
cycles = tfe.npu.Cost("my_npu.toml")
energy = tfe.npu.Cost("my_npu.toml", of="energy_pj")

# 2. Every kernel and every feature map learns its width: one of those that bricks make the most of.
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="conv_2"),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ]
)
bits = tfc.DifferentiableBits(widths=(2, 4, 8))
small = tfc.compress(model, {".*": {"kernel": bits, "output": bits}})
tfc.calibrate(small, x[:256])
limit = 0.45 * cycles(small)

# 3. Prices come from what the machine saves in each layer. LogCost puts the real numbers beside loss and accuracy,
#    where EarlyStopping and ModelCheckpoint find them.
budget = tfc.callbacks.Budget(limit, cycles)
log = tfc.callbacks.LogCost(cycles=cycles, picojoules=energy)
small.compile(
    keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
small.fit(x, y, batch_size=64, epochs=6, verbose=2, callbacks=[budget, log])
for row in budget.rows:
    print(f"step {row['step']:3}: {row['cost']:5,.0f} cycles, surrogate {row['surrogate']:5,.0f}, limit {limit:,.0f}")

# 4. What training was told is what the file costs.
blob = tfe.convert(small)
estimate = tfe.npu.estimate(blob, "my_npu.toml")
tfe.verify(blob, x_test[:8], keras_model=small).raise_if_different()
print(estimate)
print(f"{100 * small.evaluate(x_test, y_test, verbose=0)[1]:.2f} % in {estimate.totals['cycles_total']:,} cycles")
if estimate.totals["cycles_total"] > limit:
    raise SystemExit("over the limit")
