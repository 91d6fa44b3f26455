"""Law L5: TensorFlow and JAX agree in value, state and gradient, call by call and in ``fit``."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from backend_peer import play
from cases import CASES, Case


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What all cases give on JAX, from one process."""
    pytest.importorskip("jax")
    results = tmp_path_factory.mktemp("jax") / "results.npz"
    script = Path(__file__).with_name("backend_peer.py")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, script, results], env=environment, check=True)
    return dict(np.load(results))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jax_gives_what_tensorflow_gives(case: Case, on_jax: dict[str, np.ndarray]) -> None:
    on_tensorflow = play(case)
    assert on_tensorflow.keys() == {name for name in on_jax if name.startswith(f"{case}/")}
    for name, array in on_tensorflow.items():
        tolerance = 1e-5 * (1 + np.abs(array).max(initial=0))
        np.testing.assert_allclose(on_jax[name], array, rtol=0, atol=tolerance, err_msg=name)
