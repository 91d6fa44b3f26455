"""A small network on the handwritten digits of scikit-learn, and what happens to it under a technique that prunes."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

import tfcompress as tfc

BATCH, TRAINING = 32, 1344
STEPS_PER_EPOCH = TRAINING // BATCH


class Digits:
    """The data, a trained network with batch norms, and fine-tuning under rules."""

    def __init__(self) -> None:
        pixels, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        images = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")[order]
        labels = labels[order]
        self.x, self.y, self.x_test, self.y_test = images[:1344], labels[:1344], images[1344:], labels[1344:]
        keras.utils.set_random_seed(0)
        self.network = self.fit(self._untrained(), 6, 3e-3)
        self.accuracy = self.evaluate(self.network)

    def _untrained(self) -> keras.Model:
        inputs = x = keras.Input((8, 8, 1))
        for k, (filters, strides) in enumerate([(12, 1), (24, 2)]):
            x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=f"conv_{k}")(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        return keras.Model(inputs, layers.Dense(10, name="head")(layers.Flatten()(x)))

    def fit(self, model: keras.Model, epochs: int, rate: float = 1e-3, used: tuple = (), **data: object) -> keras.Model:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        options = {"metrics": ["accuracy"], "steps_per_execution": STEPS_PER_EPOCH // 3}
        model.compile(keras.optimizers.Adam(rate), loss, **options)
        model.fit(self.x, self.y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(used), **data)
        return model

    def evaluate(self, model: keras.Model) -> float:
        """Share of the test images that are told right, with the weights as deployed."""
        logits = model.predict(self.x_test, batch_size=len(self.x_test), verbose=0)
        return float(np.mean(logits.argmax(axis=1) == self.y_test))

    def pruned(self, transform: tfc.Transform, epochs: int = 10, used: tuple = ()) -> SimpleNamespace:
        """The network behind so many epochs, and everything about it that is hard."""
        keras.utils.set_random_seed(1)
        model = self.fit(tfc.compress(self.network, {".*": {"kernel": transform}}), epochs, used=used)
        wrapped = {layer.name: layer for layer in model.layers if isinstance(layer, tfc.Compressed)}
        hard = {name: tfc.deployed(layer, "kernel")[0] for name, layer in wrapped.items()}
        return SimpleNamespace(
            model=model,
            transforms={name: layer.transforms["kernel"] for name, layer in wrapped.items()},
            latent={name: keras.ops.convert_to_numpy(layer.layer.kernel) for name, layer in wrapped.items()},
            sparsity=float(np.mean(np.concatenate([np.ravel(w == 0) for w in hard.values()]))),
            layers={name: float(np.mean(w == 0)) for name, w in hard.items()},
            accuracy=self.evaluate(model),
        )

    def soft_accuracy(self, run: SimpleNamespace) -> float:
        """The accuracy with the soft weights of training: what a technique must not be judged by."""
        plain = tfc.strip(run.model)
        for name, transform in run.transforms.items():
            plain.get_layer(name).kernel.assign(transform(run.latent[name], training=True))
        return self.evaluate(plain)


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits()


@pytest.fixture(scope="session")
def steps_per_epoch() -> int:
    return STEPS_PER_EPOCH
