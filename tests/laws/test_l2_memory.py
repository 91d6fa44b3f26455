"""Law L2: what is saved comes back: predictions bit for bit, and training as if never interrupted."""

import keras
import numpy as np
import pytest
from cases import CASES, Case, alone, assert_same, data, fit, one_of_each, side_by_side, state, tensor

from tfcompress import testing


@pytest.mark.parametrize("case", CASES, ids=str)
def test_configuration_comes_back(case: Case) -> None:
    testing.check_config(lambda: alone(case), tensor(case))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, keras.Model]:
    """Networks side by side: behind one epoch, read from a file, and behind the next, resumed and not interrupted."""
    path = tmp_path_factory.mktemp("models") / "model.keras"
    models = {"saved": fit(side_by_side(one_of_each())), "whole": fit(side_by_side(one_of_each()), epochs=2)}
    models["saved"].save(path)
    return models | {
        "read": keras.models.load_model(path),
        "resumed": fit(keras.models.load_model(path), first=1),
    }


@pytest.mark.parametrize("case", one_of_each(), ids=str)
def test_predictions_come_back(case: Case, interrupted: dict[str, keras.Model]) -> None:
    saved, read = (interrupted[name].get_layer(case.name) for name in ("saved", "read"))
    assert_same(state(saved), state(read))
    np.testing.assert_array_equal(read(data()[0], training=False), saved(data()[0], training=False))


@pytest.mark.parametrize("case", one_of_each(), ids=str)
def test_training_resumed_equals_training_never_interrupted(case: Case, interrupted: dict[str, keras.Model]) -> None:
    saved, whole, resumed = (state(interrupted[name].get_layer(case.name)) for name in ("saved", "whole", "resumed"))
    assert_same(whole, resumed)
    assert any(not np.array_equal(saved[name], whole[name]) for name in saved)
