"""Law L2: what is saved comes back: predictions bit for bit, and training as if never interrupted."""

from pathlib import Path

import keras
import numpy as np
import pytest
from cases import CASES, Case, alone, assert_same, compressed, data, fit, one_of_each, state, tensor, trained

from tfcompress import testing


@pytest.mark.parametrize("case", CASES, ids=str)
def test_configuration_comes_back(case: Case) -> None:
    testing.check_config(lambda: alone(case), tensor(case))


@pytest.mark.parametrize("case", one_of_each(), ids=str)
def test_training_resumed_equals_training_never_interrupted(case: Case, tmp_path: Path) -> None:
    trained(case).save(tmp_path / "model.keras")
    resumed = keras.models.load_model(tmp_path / "model.keras")
    x, _ = data()
    np.testing.assert_array_equal(resumed.predict(x, verbose=0), trained(case).predict(x, verbose=0))
    assert_same(state(trained(case)), state(resumed))
    fit(resumed, first=1)
    assert_same(state(fit(compressed(case), epochs=2)), state(resumed))
