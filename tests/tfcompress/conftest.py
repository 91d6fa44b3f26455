"""Small transforms with known behaviour, so that these tests do not depend on any technique."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from tfcompress.grid import Grid
from tfcompress.structure import slots
from tfcompress.transform import Transform


@keras.saving.register_keras_serializable("tests")
class Rounding(Transform):
    """Rounds to ``bits`` bits; the step is a weight, and each training call counts."""

    def __init__(self, bits=4, axis=None, signed=None, narrow_range=None, **kwargs):
        super().__init__(**kwargs)
        self.bits, self.axis, self.signed, self.narrow_range = bits, axis, signed, narrow_range

    def build(self, shape):
        self.axes = [a % len(shape) for a in self.axis or ()]
        self.step = self.add_weight([n if k in self.axes else 1 for k, n in enumerate(shape)], "ones", name="step")
        self.count = self.add_weight((), "zeros", name="count", trainable=False)

    def levels(self):
        grid = Grid(1.0, self.bits, signed=self.signed is not False, narrow_range=self.narrow_range is not False)
        return grid.low, grid.high

    def calibrate(self, x):
        others = [k for k in range(len(x.shape)) if k not in self.axes]
        self.step.assign(ops.maximum(ops.max(ops.abs(x), axis=others, keepdims=True) / self.levels()[1], 1e-6))

    def call(self, x, training=None):
        if training:
            self.count.assign(self.count + 1)
        codes = ops.clip(x / self.step, *self.levels())
        return (ops.stop_gradient(ops.round(codes)) + (codes - ops.stop_gradient(codes))) * self.step

    def grid(self, x):
        signed, narrow = self.signed is not False, self.narrow_range is not False
        return Grid(slots.numpy(self.step), self.bits, signed=signed, narrow_range=narrow)

    def get_config(self):
        mine = {"bits": self.bits, "axis": self.axis, "signed": self.signed, "narrow_range": self.narrow_range}
        return {**super().get_config(), **mine}


@keras.saving.register_keras_serializable("tests")
class Threshold(Transform):
    """Sets the smaller half of the values, as calibrated, to zero; owns no grid."""

    def build(self, shape):
        self.threshold = self.add_weight((), "zeros", name="threshold", trainable=False)

    def calibrate(self, x):
        self.threshold.assign(np.median(np.abs(ops.convert_to_numpy(x))))

    def call(self, x, training=None):
        return ops.where(ops.abs(x) > self.threshold, x, 0.0)


@keras.saving.register_keras_serializable("tests")
class Unchanged(Transform):
    """Does nothing."""

    def call(self, x, training=None):
        return x


@keras.saving.register_keras_serializable("tests")
class OnlyMatrices(Transform):
    """Cannot be applied to anything but a matrix."""

    def build(self, shape):
        if len(shape) != 2:
            raise ValueError(f"the weight must be a matrix. Received: shape={tuple(shape)}")

    def call(self, x, training=None):
        return x


@pytest.fixture
def toys():
    keras.utils.set_random_seed(0)
    return SimpleNamespace(
        Rounding=Rounding,
        Threshold=Threshold,
        Unchanged=Unchanged,
        OnlyMatrices=OnlyMatrices,
        rng=np.random.default_rng(0),
    )
