"""Law L1: ``grid.decode(grid.encode(y)) == y`` bit for bit, for everything that a trained transform delivers."""

import numpy as np
import pytest
from cases import CASES, Case, alone, data, tensor, trained, transforms

from tfcompress import testing


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_of_a_transform_are_on_its_grid(case: Case) -> None:
    testing.check_grid(lambda: alone(case), tensor(case))


@pytest.mark.parametrize("case", [c for c in CASES if c.kind == "quantizes"], ids=str)
def test_values_of_a_trained_model_are_on_their_grids(case: Case) -> None:
    model = trained(case)
    for name, transform in transforms(model).items():
        x = model.get_layer(name).layer.kernel.numpy() if case.slot == "kernel" else 3 * data(seed=1)[0]
        y, grid = np.array(transform(x, training=False)), transform.grid(x)
        codes = grid.encode(y)
        if grid.values is None:
            np.testing.assert_array_equal(codes.astype("float32") - grid.zero_point, np.rint(y / grid.scale))
        np.testing.assert_array_equal(grid.decode(codes), y)
        assert grid.low <= codes.min() and codes.max() <= grid.high and len(np.unique(codes)) > 2


@pytest.mark.parametrize("case", [c for c in CASES if c.kind == "prunes"], ids=str)
def test_what_only_prunes_has_no_grid(case: Case) -> None:
    assert all(t.grid(np.ones((2, 2))) is None for t in transforms(trained(case)).values())


@pytest.mark.parametrize("case", [c for c in CASES if "power_of_two" in c.name], ids=str)
def test_steps_are_powers_of_two(case: Case) -> None:
    for transform in transforms(trained(case)).values():
        grid = transform.grid(np.ones((2, 2)))
        mantissas, _ = np.frexp(grid.scale if grid.values is None else np.abs(grid.values[grid.values != 0]))
        np.testing.assert_array_equal(mantissas, 0.5)
