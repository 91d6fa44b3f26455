"""What the figures rest on: the fast batch norm of the benchmarks is Keras', and finished rows are kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

SAME_BATCH_NORM = """
import fashion, keras, numpy as np
rng = np.random.default_rng(0)
x = rng.normal(1, 2, (8, 5, 6, 3)).astype("float32")
results = []
for call in (fashion.one_kernel, fashion.keras_batch_norm):
    keras.layers.BatchNormalization.call = call
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 6, 3))
    norm = keras.layers.BatchNormalization(gamma_initializer="random_normal", beta_initializer="random_normal")
    y = keras.layers.Conv2D(4, 3)(norm(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(y)))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(x, np.arange(8.0), batch_size=4, epochs=3, shuffle=False, verbose=0)
    results.append([np.asarray(v) for v in (*model.weights, model.predict(x, verbose=0))])
for fast, usual in zip(*results, strict=True):
    np.testing.assert_allclose(fast, usual, rtol=1e-3, atol=1e-4)
assert np.abs(results[0][2]).max() > 0.03  # the moving mean has moved
"""

COUNTED = """
import comparison, record, sys
from pathlib import Path
record.RESULTS = Path(sys.argv.pop(1))
comparison.fashion.data = lambda images, held_out: None
def run(job, of, seed, done, rate):
    print("ran", job, seed, rate)
    return {"accuracy": seed + rate}
comparison.main("counted", ["a", "b"], run, comparison.table(["a", "b"], {}), rate=0.5)
"""


def python(code: str, *arguments: str) -> str:
    """What the code prints, in a process of its own, since ``fashion`` changes Keras."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=BENCHMARKS, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.evidence
def test_the_fast_batch_norm_trains_as_that_of_keras() -> None:
    python(SAME_BATCH_NORM)


@pytest.mark.evidence
def test_a_finished_row_is_kept_and_other_settings_make_another_file(tmp_path: Path) -> None:
    assert python(COUNTED, str(tmp_path), "--seeds=1", "--only=a").count("ran") == 1
    ran = [line for line in python(COUNTED, str(tmp_path), "--seeds=1,2").splitlines() if line.startswith("ran")]
    assert ran == ["ran b 1 0.5", "ran a 2 0.5", "ran b 2 0.5"]
    kept = json.loads((tmp_path / "counted.json").read_text())
    assert kept["runs"]["2"]["a"] == {"accuracy": 2.5, "seconds": 0}
    assert kept["table"][0] == {"row": "a", "test accuracy": "2.00 ± 0.71 %", "seeds": "2"}
    assert "ran a 1 0.25" in python(COUNTED, str(tmp_path), "--seeds=1", "--rate=0.25")
    assert (tmp_path / "counted_0.25.json").exists()
