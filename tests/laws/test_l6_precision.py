"""Law L6: under ``mixed_bfloat16`` state and rounding are float32, and grids exact."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from cases import CASES, Case, alone, compressed, data, fit, one_of_each, tensor, transforms

from tfcompress import testing

QUANTIZING = [c for c in CASES if c.kind == "quantizes" and (c in one_of_each() or "power_of_two" in c.name)]


@pytest.fixture
def mixed() -> Iterator[None]:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_transform_keeps_float32(case: Case) -> None:
    testing.check_mixed_precision(lambda: alone(case), tensor(case))


@pytest.mark.parametrize("case", QUANTIZING, ids=str)
def test_trained_values_are_on_their_grids(case: Case, mixed: None) -> None:
    model = fit(compressed(case))
    assert model.get_layer("dense").compute_dtype == "bfloat16" or case.slot == "kernel"
    for name, transform in transforms(model).items():
        x = model.get_layer(name).layer.kernel.numpy() if case.slot == "kernel" else data(seed=1)[0]
        y, grid = np.array(transform(x, training=False)), transform.grid(x)
        assert y.dtype == np.float32 and np.array_equal(grid.decode(grid.encode(y)), y)
        lossless = np.array_equal(y, keras.ops.convert_to_numpy(keras.ops.cast(y, "bfloat16")).astype("float32"))
        assert lossless == ("power_of_two" in case.name)
