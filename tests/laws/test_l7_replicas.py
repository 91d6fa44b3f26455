"""Law L7: under MirroredStrategy the state of all replicas stays equal."""

import numpy as np
import pytest
from cases import Case, one_of_each, results_of

pytestmark = pytest.mark.slow

STATE = (" unit", " ratio", " log_step", " log_reach", " low", " high", " mask", " step", " dictionary")


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """For all cases, from one process: each variable before training, then of each replica behind it."""
    return results_of("replicas_peer.py", tmp_path_factory.mktemp("replicas"))


@pytest.mark.parametrize("case", one_of_each(), ids=str)
def test_replicas_stay_equal(case: Case, replicas: dict[str, np.ndarray]) -> None:
    """All variables but the moving statistics of Keras' own batch norm, which differ in plain Keras 3.15 too."""
    mine = {name: arrays for name, arrays in replicas.items() if name.startswith(f"{case}/") and "moving_" not in name}
    for name, (_, first, second) in mine.items():
        np.testing.assert_array_equal(first, second, err_msg=name)
        assert np.isfinite(first).all(), name
    moved = [not np.array_equal(before, first) for name, (before, first, _) in mine.items() if name.endswith(STATE)]
    assert any(moved) or not moved
