"""Runs every case on the backend that the environment names and writes what came out; law L5 compares two such runs.

KERAS_BACKEND=jax python backend_peer.py results.npz
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from cases import CASES, Case, alone, data, fit, state, tensor
from keras import ops

import tfcompress as tfc

Array = np.ndarray


def value_and_gradients(transform: tfc.Transform, x: Array, upstream: Array) -> list[Array]:
    """The value of a training call, and the gradients of ``sum(value * upstream)`` for ``x`` and the variables."""
    variables = transform.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        def loss(x: Any, values: Any) -> Any:
            y, others = transform.stateless_call(values, [v.value for v in fixed], x, training=True)
            return ops.sum(y * upstream), (y, others)

        fixed = transform.non_trainable_variables
        gradients, (y, others) = jax.grad(loss, (0, 1), has_aux=True)(
            ops.convert_to_tensor(x), [v.value for v in variables]
        )
        for variable, value in zip(fixed, others, strict=True):
            variable.assign(value)
        return [np.array(a) for a in (y, gradients[0], *gradients[1])]
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = transform(x, training=True)
        total = tf.reduce_sum(y * upstream)
    return [np.array(a) for a in (y, *tape.gradient(total, [x, *[v.value for v in variables]]))]


def play(case: Case) -> dict[str, Array]:
    """A few training calls of the transform, and one epoch of a dense layer that has it."""
    transform, x = alone(case), tensor(case)
    transform.build(x.shape)
    transform.built = True
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    results = {}
    for k in range(4):
        made = value_and_gradients(transform, (1 + 0.1 * k) * x, upstream)
        results |= {f"{case}/call {k}/{n}": array for n, array in enumerate(made)}
    results |= {f"{case}/state {k}": np.array(v) for k, v in enumerate(map(ops.convert_to_numpy, transform.variables))}
    return results | {f"{case}/fit {name}": array for name, array in trained_dense(case).items()}


def trained_dense(case: Case) -> dict[str, Array]:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(6, activation="relu", name="dense")(inputs))
    kernel = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
    model.layers[-1].set_weights([kernel, np.zeros(6, "float32")])
    small = tfc.compress(model, {"dense": {case.slot: case.factory()}})
    x, _ = data()
    x = x.reshape(-1, 12)[:64]
    small.compile(keras.optimizers.SGD(0.01), "mse")
    small.fit(x, np.maximum(x[:, :6], 0), batch_size=8, shuffle=False, verbose=0)
    return {**state(small), "prediction": small.predict(x, verbose=0)}


def main(path: str, play: Callable[[Case], dict[str, Array]] = play) -> None:
    results: dict[str, Array] = {}
    for case in CASES:
        results |= play(case)
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
