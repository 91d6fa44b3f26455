"""A network with 2-bit tables, trained on TensorFlow and on JAX from the same start, is the same after 20 steps.

Run as a script, it trains on the backend that the environment names and writes the variables to a file.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import tfcompress as tfc


def trained() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 12)).astype("float32")
    y = np.argmax(x @ rng.normal(size=(12, 4)), axis=1)
    inputs = keras.Input((12,))
    hidden = keras.layers.Dense(16, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, name="head")(hidden))
    model.set_weights([0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    small = tfc.compress(model, {".*": {"kernel": tfc.LookUpTable(4)}})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small.compile(keras.optimizers.SGD(0.05), loss)
    small.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    found = {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in small.weights}
    return {**found, "tied": tfc.deployed(small.get_layer("hidden"), "kernel")[0], "steps": small.optimizer.iterations}


@pytest.mark.slow
def test_twenty_steps_on_jax_are_twenty_steps_on_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(Path(tfc.__file__).parents[1])
    subprocess.run([sys.executable, __file__, str(tmp_path / "jax.npz")], env=environment, check=True)
    on_tensorflow, on_jax = trained(), dict(np.load(tmp_path / "jax.npz"))
    assert int(on_jax.pop("steps")) == int(on_tensorflow.pop("steps")) == 20
    assert on_tensorflow.keys() == on_jax.keys() and len(np.unique(on_jax["tied"])) == 4
    for name, array in on_tensorflow.items():
        np.testing.assert_allclose(on_jax[name], array, rtol=0, atol=1e-5, err_msg=name)


if __name__ == "__main__":
    np.savez(sys.argv[1], **{name: np.array(keras.ops.convert_to_numpy(a)) for name, a in trained().items()})
