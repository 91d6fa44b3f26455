"""A base network that knows its digits, and what students of it start from."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits


def network(width, seed=0, dropout=0.1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(width, use_bias=False, name="hidden"),
            layers.BatchNormalization(momentum=0.9, name="norm"),
            layers.ReLU(name="relu"),
            layers.Dropout(dropout, seed=1, name="dropout"),
            layers.Dense(10, name="head"),
        ]
    )


@pytest.fixture(scope="package")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32)
    return x[:1347], labels[:1347], x[1347:], labels[1347:]


@pytest.fixture(scope="package")
def base(digits):
    model = network(64)
    model.compile(
        keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    model.fit(*digits[:2], batch_size=64, epochs=8, verbose=0)
    return model


@pytest.fixture
def student():
    def make(width=24, seed=3):
        return network(width, seed)

    return make
