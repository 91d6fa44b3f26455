"""Techniques compose: whatever prunes may be followed by whatever quantises or ties, and both keep their word."""

import keras
import numpy as np
import pytest
from cases import Case, data, one_of_each

import tfcompress as tfc
import tflite_export as tfe
from tflite_export.flatbuffer import read

pytestmark = pytest.mark.slow

SINGLE = [c for c in one_of_each() if c.slot == "kernel" and not isinstance(c.factory(), tfc.Chain)]
SECOND = [case for case in SINGLE if case.kind == "quantizes"]


@pytest.fixture(params=[case for case in SINGLE if case.kind == "prunes"], ids=str)
def model(request: pytest.FixtureRequest) -> keras.Model:
    """One dense layer for each technique that may come second, all trained in one ``fit``."""
    first: Case = request.param
    keras.utils.set_random_seed(0)
    inputs = keras.Input((144,))
    plain = keras.Model(inputs, [keras.layers.Dense(6, name=second.name)(inputs) for second in SECOND])
    chains = {s.name: {"kernel": tfc.Chain([first.factory(), s.factory()])} for s in SECOND}
    small = tfc.compress(plain, chains)
    x = data()[0].reshape(64, -1)
    tfc.calibrate(small, x)
    small.compile("adam", ["mse" for _ in SECOND])
    small.fit(x, [x[:, :6] for _ in SECOND], batch_size=8, verbose=0)
    return small


def test_zeros_of_the_first_are_zeros_of_the_second(model: keras.Model) -> None:
    """At inference, on the grid of the second, and in the file."""
    stored = {t.name: t.data for t in read(tfe.convert(model, data()[0].reshape(64, -1))).tensors}
    for case in SECOND:
        dense = model.get_layer(case.name)
        pruned = np.array(dense.transforms["kernel"].transforms[0](dense.layer.kernel.value, training=False))
        weight, grid = tfc.deployed(dense, "kernel")
        assert (pruned == 0).any() and not (pruned == 0).all(), case
        assert (weight[pruned == 0] == 0).all() and grid is not None, case
        np.testing.assert_array_equal(grid.decode(grid.encode(weight)), weight, err_msg=case.name)
        assert (stored[f"{case}/kernel"].T[pruned == 0] == 0).all(), case
