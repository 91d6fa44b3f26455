"""Law L5: TensorFlow and JAX agree in value, state and gradient, call by call and in ``fit``."""

import numpy as np
import pytest
from backend_peer import play
from cases import Case, one_of_each, results_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What all cases give on JAX, from one process."""
    pytest.importorskip("jax")
    return results_of("backend_peer.py", tmp_path_factory.mktemp("jax"), KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")


@pytest.mark.parametrize("case", [case for case in one_of_each() if not case.random], ids=str)
def test_jax_gives_what_tensorflow_gives(case: Case, on_jax: dict[str, np.ndarray]) -> None:
    on_tensorflow = play(case)
    assert on_tensorflow.keys() == {name for name in on_jax if name.startswith(f"{case}/")}
    for name, array in on_tensorflow.items():
        tolerance = case.rounding * (1 + np.abs(array).max(initial=0))
        np.testing.assert_allclose(on_jax[name], array, rtol=0, atol=tolerance, err_msg=name)
